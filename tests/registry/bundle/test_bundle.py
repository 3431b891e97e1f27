from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.limits import read_only
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import BundleError, ConfigError, IntegrityError, TensorError
from snt_zoo.registry import BundleConfig, Registry, as_stored, read_bundle, read_header, write_bundle
from snt_zoo.registry.bundle.bundle import check_target
from tests.registry.bundle.refusals import MODEL
from tests.registry.making import BACKBONE, config_data, damage, make_bundle, network, remanifest, sketch

FILES = {"README.md", "config.json", "dataset.safetensors", "manifest.json", "model.safetensors"}


def same_sketch(one: Sketch, other: Sketch) -> bool:
    return one.to_meta() == other.to_meta() and all(
        torch.equal(tensor, other.to_tensors()[name]) for name, tensor in one.to_tensors().items()
    )


@pytest.mark.parametrize("space", ["nas_bench_201", "darts"])
def test_round_trip_in_float32_keeps_every_bit(tmp_path: Path, space: str) -> None:
    net = network(space=space)
    sketches = [sketch(seed=1), sketch(seed=2, classes=5), sketch(seed=3, classes=120)]
    folder = make_bundle(tmp_path / "b", net=net, sketches=sketches)
    bundle = read_bundle(folder)

    assert {path.name for path in folder.iterdir()} == FILES
    state = bundle.supernet.state_dict()
    assert state.keys() == net.state_dict().keys()
    assert any(name.startswith("alphas.") for name in state)
    for name, tensor in net.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name
    assert not bundle.supernet.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in bundle.supernet.parameters())
    assert len(bundle.sketches) == 3
    assert all(map(same_sketch, sketches, bundle.sketches))
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(bundle.supernet(images), net.eval()(images))


def test_float16_read_and_written_again_gives_identical_files(tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "a", dtype="float16")
    bundle = read_bundle(first)
    second = write_bundle(
        tmp_path / "b", supernet=bundle.supernet, config=bundle.config, sketches=bundle.sketches
    )
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in second.iterdir()
    }
    assert next(bundle.supernet.parameters()).dtype == torch.float32
    stored = as_stored(network(), "float16").state_dict()
    assert all(torch.equal(t, stored[n]) for n, t in bundle.supernet.state_dict().items())
    sizes = {str(t.dtype) for t in safetensors.torch.load_file(first / "model.safetensors").values()}
    assert sizes == {"torch.float16", "torch.int64"}


def test_equal_input_gives_equal_bytes_and_id(tmp_path: Path) -> None:
    sketches = [sketch(seed=i) for i in range(9)]  # much metadata, whose order could vary
    one = make_bundle(tmp_path / "one", sketches=sketches)
    two = make_bundle(tmp_path / "two", sketches=sketches)
    other = make_bundle(tmp_path / "three", sketches=sketches, description="Another text.")
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}
    bundle = read_bundle(one)
    assert re.fullmatch(r"shapes-[0-9a-f]{8}", bundle.id)
    assert bundle.digest.startswith(bundle.id[-8:])
    assert bundle.id == read_bundle(two).id != read_bundle(other).id


def test_the_library_reads_what_is_written(good: Path) -> None:
    state = read_bundle(good).supernet.state_dict()
    tensors = safetensors.torch.load_file(good / "model.safetensors")
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())
    with safetensors.safe_open(good / "dataset.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["sketch.0"])["backbone"] == BACKBONE
        assert "0.means" in file.keys()  # noqa: SIM118


def test_reading_the_header_needs_no_weights(good: Path) -> None:
    bundle = read_bundle(good)
    path = good / "model.safetensors"
    path.write_bytes(b"\0" * path.stat().st_size)
    config, sketches, digest = read_header(good)
    assert (config, digest) == (bundle.config, bundle.digest)
    assert all(map(same_sketch, sketches, bundle.sketches))


def test_writing_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("full", "file", "link"):
        with pytest.raises(BundleError, match="must not exist yet, or be an empty folder"):
            make_bundle(tmp_path / name)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    assert read_bundle(make_bundle(tmp_path / "empty")).id
    assert read_bundle(make_bundle(tmp_path / "deep" / "er")).id


def test_writing_refuses_a_config_of_another_supernet(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.alphas["cell"].copy_(torch.eye(6, 5))
    config = BundleConfig.from_data(config_data(net))
    with torch.no_grad():
        net.alphas["cell"].copy_(torch.eye(6, 5).flip(1))
    cases: list[tuple[Any, type[BundleError], str]] = [
        ({"supernet": network(channels=4)}, ConfigError, "network"),
        ({"supernet": net}, ConfigError, "genotype"),
        ({"supernet": network().double()}, TensorError, "must be float32"),
        ({"sketches": []}, TensorError, "1 to 256 sketches"),
        ({"sketches": [sketch()] * 257}, TensorError, "1 to 256 sketches"),
        ({"sketches": [sketch(backbone="other")]}, ConfigError, "backbone"),
        ({"sketches": [sketch(name="a\x1bb")]}, ConfigError, "control character"),
    ]
    good = network()
    fitting = BundleConfig.from_data(config_data(good))
    for changes, error, message in cases:
        arguments = {"supernet": good, "config": fitting, "sketches": [sketch()]} | changes
        if changes.get("supernet") is net:
            arguments["config"] = config
        with pytest.raises(error, match=message):
            write_bundle(tmp_path / "b", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        make_bundle(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_the_unspoilt_bundle_is_accepted(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    assert len(registry.list()) == 3
    assert registry.get(record.id).id == record.id == read_bundle(good).id
    remanifest(good)  # other JSON, other digest, and still a good bundle
    assert read_bundle(good).id != record.id


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


def test_checkout_gives_a_bundle_that_add_takes(registry: Registry, tmp_path: Path) -> None:
    record = registry.list()[0]
    folder = registry.checkout(record.id, tmp_path / "deep" / "out")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in record.path.iterdir()
    }
    (folder / "README.md").write_text("mine now")  # a copy: the registry's own stays
    assert registry.verify().ok
    other = Registry.open(tmp_path / "other")
    with pytest.raises(IntegrityError):
        other.add(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert other.add(registry.checkout(record.id, empty)).digest == record.digest
    assert read_bundle(empty).id == record.id
    with pytest.raises(BundleError, match="choose another one"):
        registry.checkout(record.id, empty)


def test_checkout_of_a_damaged_bundle_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    record = registry.list()[0]
    damage(record.path / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        registry.checkout(record.id, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []


def test_where_no_bundle_can_be_written_is_told_before_a_training(tmp_path: Path) -> None:
    for name in ("used", "closed", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "used" / "theirs").touch()
    (tmp_path / "file").touch()
    for name in ("used", "file", "file/below", "x" * 256):
        with pytest.raises(BundleError):
            check_target(tmp_path / name)
    with read_only(tmp_path / "closed"), pytest.raises(BundleError, match="Permission denied"):
        check_target(tmp_path / "closed" / "new")
    for name in ("new", "below/new", "empty", "caf\udce9", "x" * 255):
        check_target(tmp_path / name)
    assert not (tmp_path / "new").exists() and list((tmp_path / "empty").iterdir()) == []
