"""Weights: what is not the network's is refused before it costs memory."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import ConfigError, NonFiniteError, TensorError
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors, parse_header
from snt_zoo.registry import BundleConfig, Registry, as_stored, describe, read_bundle, write_bundle
from tests.registry.bundle.refusals import (
    MODEL,
    Case,
    check_refused,
    fill,
    rename_tensor,
    set_field,
    set_tensor,
    with_pickle_as_model,
)
from tests.registry.making import (
    config_data,
    edit_config,
    edit_header,
    edit_tensors,
    make_bundle,
    network,
    sketch,
)

REFUSED = {
    "wrong shape": Case(
        set_tensor("head.weight", lambda t: t[:2].clone()),
        TensorError,
        (MODEL, "head.weight", "float32 [3, 8]", "is float32 [2, 8]"),
    ),
    "NaN weights": Case(
        set_tensor("head.weight", fill(float("nan"))), NonFiniteError, (MODEL, "head.weight")
    ),
    "weights that overflow": Case(
        set_tensor("trunk.stem.0.weight", lambda t: torch.full_like(t, 3e38)),
        NonFiniteError,
        (MODEL, "overflow"),
    ),
    "weights that overflow beside the path": Case(
        set_tensor("trunk.cells.0.conv_1x1.0.conv.weight", lambda t: torch.full_like(t, 3e38)),
        NonFiniteError,
        (MODEL, "overflow"),
    ),
    "a variance below zero": Case(
        set_tensor("trunk.stem.1.running_var", lambda t: -t), NonFiniteError, (MODEL, "do not use it")
    ),
    "pickle as model": Case(with_pickle_as_model, TensorError, (MODEL, "header")),
    "config that lies about parameters": Case(set_field("params", value=5), ConfigError, ("params", "got 5")),
    "config that lies about MACs": Case(set_field("macs", value=5), ConfigError, ("macs", "got 5")),
    "config that lies about the genotype": Case(
        set_field("genotype", "cells", "cell", 0, 2, value="nor_conv_7x7"), ConfigError, ("genotype",)
    ),
    "infinite weights": Case(
        set_tensor("head.bias", fill(float("-inf"))), NonFiniteError, (MODEL, "head.bias")
    ),
    "NaN alphas": Case(set_tensor("alphas.cell", fill(float("nan"))), NonFiniteError, (MODEL, "alphas.cell")),
    "wrong type": Case(
        set_tensor("head.bias", lambda t: t.half()), TensorError, ("head.bias", "float32", "float16")
    ),
    "type that is not allowed": Case(
        set_tensor("head.bias", lambda t: t.double()), TensorError, ("head.bias", "F64")
    ),
    "missing tensor": Case(
        lambda f: edit_tensors(f, MODEL, lambda t: t.pop("head.bias")),
        TensorError,
        ("head.bias", "is absent"),
    ),
    "renamed tensor": Case(rename_tensor, TensorError, ("head.bias", "head.weird", "must be absent")),
    "no tensor": Case(lambda f: edit_tensors(f, MODEL, dict.clear), TensorError, (MODEL, "more")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    check_refused(REFUSED[what], good, registry)


def test_a_float16_genotype_is_that_of_the_rounded_alphas(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        # In float16 both are 1.0, and the first of equals wins.
        net.alphas["cell"].zero_()
        net.alphas["cell"][:, 2], net.alphas["cell"][:, 3] = 1.0, 1.0001
    assert net.genotype() != as_stored(net, "float16").genotype()
    folder = make_bundle(tmp_path / "b", net=net, dtype="float16")
    bundle = read_bundle(folder)
    assert bundle.supernet.genotype() == bundle.config.genotype.to_genotype()
    wrong = config_data(net, dtype="float16") | {"genotype": describe(net)["genotype"]}
    with pytest.raises(ConfigError, match="genotype"):
        write_bundle(tmp_path / "c", supernet=net, config=BundleConfig.from_data(wrong), sketches=[sketch()])


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("float32", float("nan"), "head.bias holds NaN or infinity"),
        ("float32", float("inf"), "head.bias holds NaN or infinity"),
        ("float16", 70_000.0, "head.bias has values above the range of float16"),
    ],
)
def test_writing_refuses_what_could_not_be_read(
    tmp_path: Path, dtype: Any, value: float, message: str
) -> None:
    net = network()
    config = BundleConfig.from_data(config_data(net, dtype=dtype))
    with torch.no_grad():
        net.head.bias[1] = value
    with pytest.raises(NonFiniteError, match=message):
        write_bundle(tmp_path / "b", supernet=net, config=config, sketches=[sketch()])
    assert list(tmp_path.iterdir()) == []


def test_bits_that_comparison_does_not_see_are_kept(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([-0.0, 2.0**-149, 3.4e38]))  # signed zero, subnormal, largest
    state = read_bundle(make_bundle(tmp_path / "b", net=net)).supernet.state_dict()
    bits = state["head.bias"].view(torch.int32)
    assert torch.equal(bits, net.head.bias.detach().view(torch.int32))


def peak() -> int:
    """Largest resident size of this process so far, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def file(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def header(count: int) -> bytes:
    entry = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({str(i): entry for i in range(count)}, separators=(",", ":")).encode()


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


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
        st.tuples(
            st.sampled_from([torch.float32, torch.float16, torch.int64, torch.int16]), st.integers(0, 5)
        ),
        max_size=6,
    ),
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8"))),
)
def test_tensor_files_agree_with_the_library(
    kinds: dict[str, tuple[torch.dtype, int]], metadata: dict[str, str]
) -> None:
    kinds.pop("__metadata__", None)
    tensors = {name: torch.arange(n * 2).reshape(2, n).to(dtype) for name, (dtype, n) in kinds.items()}
    raw = dump_tensors(tensors, metadata)
    theirs = safetensors.torch.load(raw)
    ours, texts = load_tensors(raw, what="x", limit=10_000)
    assert texts == metadata
    for found in (theirs, ours, load_tensors(safetensors.torch.save(tensors), what="x", limit=10_000)[0]):
        assert found.keys() == tensors.keys()
        assert all(
            torch.equal(found[name], t) and found[name].dtype == t.dtype for name, t in tensors.items()
        )
