from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import BundleError, ConfigError, NonFiniteError, TensorError
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_parameters
from snt_zoo.registry import (
    BundleConfig,
    as_stored,
    describe,
    read_bundle,
    read_header,
    write_bundle,
)
from snt_zoo.registry.bundle.schema import GenotypeEntry, NetworkEntry
from tests.registry.making import BACKBONE, ENCODER, config_data, make_bundle, network, sketch, source

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


def test_bits_that_comparison_does_not_see_are_kept(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([-0.0, 2.0**-149, 3.4e38]))  # signed zero, subnormal, largest
    state = read_bundle(make_bundle(tmp_path / "b", net=net)).supernet.state_dict()
    bits = state["head.bias"].view(torch.int32)
    assert torch.equal(bits, net.head.bias.detach().view(torch.int32))


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


def test_reading_the_header_needs_no_weights(good: Path) -> None:
    bundle = read_bundle(good)
    path = good / "model.safetensors"
    path.write_bytes(b"\0" * path.stat().st_size)
    config, sketches, digest = read_header(good)
    assert (config, digest) == (bundle.config, bundle.digest)
    assert all(map(same_sketch, sketches, bundle.sketches))


def test_config_gives_back_the_network_and_the_genotype(good: Path) -> None:
    bundle = read_bundle(good)
    net = network()
    assert bundle.config.network.to_network().to_json() == net.config.to_json()
    assert NetworkEntry.of(net.config) == bundle.config.network
    assert bundle.config.genotype.to_genotype() == net.genotype()
    assert GenotypeEntry.of(net.genotype()) == bundle.config.genotype
    assert bundle.config.params == count_parameters(DerivedModel.inherit(net))
    assert bundle.config.macs < bundle.config.supernet_macs
    assert BundleConfig.from_bytes(bundle.config.to_bytes()) == bundle.config
    assert bundle.config.metrics.model_extra == {"seconds_per_image": 0.5}
    assert bundle.config.training.recipe == {"lr": 0.1, "batch": 32, "nesterov": True, "schedule": "cosine"}


def test_texts_of_the_world_are_kept(tmp_path: Path) -> None:
    names = ["日本語", "नहीं \u200d", "a|b <i>*x*</i>"]
    folder = make_bundle(tmp_path / "b", class_names=names, description="Two\nlines: “ok”")
    config, _, _ = read_header(folder)
    assert list(config.class_names) == names
    assert config.description == "Two\nlines: “ok”"


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
    ("changes", "path"),
    [
        ({"dtype": None}, "dtype"),
        ({"name": "Upper Case"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"class_names": ["a", "b"]}, "class_names"),
        ({"class_names": ["a", "b", 3]}, "class_names.2"),
        ({"class_names": ["a", "b", "c\n"]}, "class_names.2"),
        ({"class_names": ["a", "b", "\u202ec"]}, "class_names.2"),
        ({"description": "\x1b[2J"}, "description"),
        ({"params": 1.0}, "params"),
        ({"params": True}, "params"),
        ({"macs": -1}, "macs"),
        ({"metrics": {"val_accuracy": 1.5, "test_accuracy": None}}, "metrics.val_accuracy"),
        ({"metrics": {"val_accuracy": 0.5}}, "metrics.test_accuracy"),
        ({"metrics": {"val_accuracy": 0.5, "test_accuracy": 0.5, "x": "y"}}, "metrics.x"),
        ({"metrics": {"val_accuracy": float("nan"), "test_accuracy": None}}, "metrics.val_accuracy"),
        ({"tags": ["a b"]}, "tags.0"),
        ({"format_version": 2}, "format_version"),
        ({"surprise": 1}, "surprise"),
        ({"encoder": ""}, "encoder"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], path: str) -> None:
    data = config_data(network(), **changes)
    with pytest.raises(ConfigError) as caught:
        BundleConfig.from_data(data)
    message = str(caught.value)
    assert message.startswith("config.json: ") and path in message
    assert "\n" not in message and message.isprintable()


def test_a_wrong_field_deep_inside_is_named() -> None:
    net = network()
    for change, path in [
        ({"datasets": [source(train_images=0)]}, "training.datasets.0.train_images"),
        ({"datasets": []}, "training.datasets"),
        ({"date": "yesterday"}, "training.date"),
        ({"recipe": {"lr": [1]}}, "training.recipe.lr"),
        ({"recipe": {"lr": float("inf")}}, "training.recipe.lr"),
        ({"seconds": -1.0}, "training.seconds"),
    ]:
        data = config_data(net)
        data["training"] = {**data["training"], **change}
        with pytest.raises(ConfigError, match=path.replace(".", r"\.")):
            BundleConfig.from_data(data)
    for change, reason in [
        ({"space": "mars"}, "no search space 'mars'"),
        ({"hyperparameters": {"channels": 10**6}}, "channels must be a whole number from 1 to 256"),
        ({"hyperparameters": {"channels": 2}}, "lack cells_per_stage, stem_stride"),
        ({"hyperparameters": {"wings": 2}}, "has no hyperparameter 'wings'"),
        ({"input_size": 4}, "network.input_size"),
        ({"normalisation": {"mean": [0.5] * 3, "std": [0.5, 0.0, 0.5]}}, "standard deviation above 0"),
    ]:
        data = config_data(net)
        data["network"] = {**data["network"].model_dump(), **change}
        with pytest.raises(ConfigError, match=reason):
            BundleConfig.from_data(data)
    assert config_data(net)["encoder"] == ENCODER
