"""Bombs, and bytes that nobody thought of: refused quickly, with little memory, by errors of ours."""

from __future__ import annotations

import copy
import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.errors import BundleError, ConfigError, SntZooError, TensorError
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.formats.tensor_file import load_tensors, parse_header
from snt_zoo.registry import BundleConfig, read_bundle
from snt_zoo.registry.bundle.sketch_file import load_sketches
from tests.registry.making import BACKBONE, config_data, edit_config, edit_header, network, remanifest

MODEL = "model.safetensors"


def peak() -> int:
    """Largest resident size of this process so far, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def file(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def header(count: int) -> bytes:
    entry = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({str(i): entry for i in range(count)}, separators=(",", ":")).encode()


ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "header"),
        (b"\x01\x00", "header"),
        ((2**63).to_bytes(8, "little") + b"{}", "header must have at most"),
        ((2**64 - 1).to_bytes(8, "little"), "header must have at most"),
        (file(header(300_000)), "header must have at most"),
        (file(header(20_001)), "at most 20,000 tensors"),
        (file(b"[" * 100_000), "nested too deeply"),
        (file(b'{"a":' * 100_000), "nested too deeply"),
        (file(b"not json"), "cannot be read as JSON"),
        (file(b"[]"), "must be a JSON object"),
        (file(b"\xff\xfe"), "cannot be read as JSON"),
        (file(f'{{"a":{ENTRY},"a":{ENTRY}}}'.encode(), b"\0" * 4), "stands there twice"),
        (file(b'{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4), "twice"),
        (file(b'{"__metadata__":{"a":"1","a":"2"}}'), "twice"),
        (file(b'{"__metadata__":{"a":1}}'), "texts alone"),
        (file(b'{"__metadata__":[]}'), "texts alone"),
        (file(f'{{"a":{ENTRY}}}'.encode(), b"\0" * 3), "3"),
        (file(f'{{"a":{ENTRY}}}'.encode(), b"\0" * 5), "5"),
        (file(f'{{"a":{ENTRY},"b":{ENTRY}}}'.encode(), b"\0" * 4), "overlap"),
        (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"\0" * 8), "gap"),
        (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', b"\0" * 4), "4 bytes"),
        (file(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"\0" * 4), "8 bytes"),
        (file(b'{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', b"\0" * 4), "shape"),
        (file(b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', b"\0" * 4), "shape"),
        (file(b'{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', b"\0" * 4), "shape"),
        (file(b'{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}', b"\0" * 4), "shape"),
        (file(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'), "bytes"),
        (file(b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', b"\0" * 2), "BF16"),
        (file(b'{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}', b"\0" * 4), "type"),
        (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', b"\0" * 4), "nothing else"),
        (file(b'{"a":3}'), "nothing else"),
        (file(b'{"' + b"a" * 300 + b'":3}'), "256 characters"),
    ],
)
def test_bad_headers_are_refused_at_once(raw: bytes, reason: str) -> None:
    start = time.process_time()
    with pytest.raises(TensorError, match=reason) as caught:
        parse_header(raw, what=MODEL, limit=2_000_000)
    assert time.process_time() - start < 2.0
    assert MODEL in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_the_library_would_take_some_of_them() -> None:
    """Why there is a parser of our own; when this fails, it may have become needless."""
    raw = file(f'{{"a":{ENTRY},"a":{ENTRY}}}'.encode().ljust(104), b"\0" * 4)
    try:
        safetensors.torch.load(raw)
    except safetensors.SafetensorError:
        pytest.skip("this version of safetensors refuses duplicate keys")


def test_a_bomb_in_a_bundle_is_refused(good: Path) -> None:
    edit_header(good, MODEL, lambda _: header(300_000))
    start = time.process_time()
    with pytest.raises(TensorError, match=r"model\.safetensors: the header must have at most"):
        read_bundle(good)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("space", "hyperparameters", "reason"),
    [
        ("nas_bench_201", {"channels": 10**6, "cells_per_stage": 1, "stem_stride": 1}, "channels must be"),
        ("nas_bench_201", {"channels": 256, "cells_per_stage": 10**9, "stem_stride": 1}, "cells_per_stage"),
        # Within the bounds of the space, and a thousand million numbers.
        ("nas_bench_201", {"channels": 256, "cells_per_stage": 12, "stem_stride": 1}, "at most 200,000,000"),
    ],
)
def test_a_network_of_10_to_12_parameters_costs_nothing(
    good: Path, space: str, hyperparameters: dict[str, int], reason: str
) -> None:
    network = {"space": space, "hyperparameters": hyperparameters}
    edit_config(good, lambda data: data["network"].update(network))
    before, start = peak(), time.process_time()
    with pytest.raises(ConfigError, match=reason) as caught:
        read_bundle(good)
    assert "network" in str(caught.value)
    assert time.process_time() - start < 5.0
    assert peak() - before < 200_000_000


def test_a_large_file_for_a_small_network_is_not_read(good: Path) -> None:
    raw = (good / MODEL).read_bytes()
    size = 600_000_000
    length = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + length])
    entries["head.huge"] = {
        "dtype": "F32",
        "shape": [size // 4],
        "data_offsets": [len(raw) - 8 - length, len(raw) - 8 - length + size],
    }
    text = json.dumps(entries).encode()
    with (good / MODEL).open("wb") as sink:
        sink.write(file(text, raw[8 + length :]))
        sink.truncate(sink.tell() + size)  # a hole: takes no disk
    before = peak()
    with pytest.raises(TensorError, match=r"head\.huge"):
        read_bundle_without_hashes(good)
    assert peak() - before < 200_000_000


def read_bundle_without_hashes(folder: Path) -> None:
    # A second of hashing would be spent on the hole.
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][MODEL]["size"] = (folder / MODEL).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    read_bundle(folder, verify=False)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["nas_bench_201", "darts", "float16", "\ud800", "1e999", "NaN", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(data: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths(value, (*prefix, key))
    return found


GOOD_CONFIG: dict[str, Any] = json.loads(BundleConfig.from_data(config_data(network())).to_bytes())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fuzzed_fields_of_a_config(data: st.DataObject) -> None:
    config = copy.deepcopy(GOOD_CONFIG)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(paths(config)))
        parent = config
        for key in path:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[last] = data.draw(_JSON)
        elif isinstance(parent, dict):
            parent[data.draw(st.text(max_size=4))] = parent.pop(last)
    check_config(json.dumps(config).encode())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.binary(max_size=12), st.integers(0, 40))
def test_fuzzed_bytes_of_a_config(position: int, replacement: bytes, removed: int) -> None:
    raw = json.dumps(GOOD_CONFIG).encode()
    position %= len(raw)
    check_config(raw[:position] + replacement + raw[position + removed :])


def check_config(raw: bytes) -> None:
    try:
        config = BundleConfig.from_bytes(raw)
    except ConfigError as error:
        message = str(error)
        assert message.startswith("config.json") and "\n" not in message and message.isprintable()
    else:
        assert BundleConfig.from_bytes(config.to_bytes()) == config


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from([MODEL, "dataset.safetensors"]), data=st.data())
def test_fuzzed_bytes_of_a_tensor_file(_good: Path, name: str, data: st.DataObject) -> None:
    raw = bytearray((_good / name).read_bytes())
    length = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        # The header is what is parsed; a few bytes of the data, too.
        position = data.draw(st.integers(0, min(len(raw), length + 16) - 1))
        raw[position : position + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    try:
        tensors, _ = load_tensors(bytes(raw), what=name, limit=2_000_000)
        assert all(isinstance(t, torch.Tensor) for t in tensors.values())
        if name != MODEL:
            load_sketches(bytes(raw), backbone=BACKBONE)
    except SntZooError as error:
        assert str(error).isprintable()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["config.json", MODEL, "dataset.safetensors", "manifest.json"]), data=st.data())
def test_fuzzed_bundles(good: Path, name: str, data: st.DataObject) -> None:
    original = (good / name).read_bytes()
    manifest = (good / "manifest.json").read_bytes()
    raw = bytearray(original)
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    (good / name).write_bytes(raw)
    if name != "manifest.json":
        remanifest(good)
    try:
        assert read_bundle(good).supernet is not None
    except BundleError as error:
        assert str(error).isprintable()
    (good / name).write_bytes(original)
    (good / "manifest.json").write_bytes(manifest)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_json(raw: bytes) -> None:
    try:
        assert isinstance(parse_json(raw, what="x", limit=50), dict)
    except ConfigError as error:
        assert len(str(error)) < 300
