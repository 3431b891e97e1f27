"""A bundle with several heads: the format is that of before, with two fields that only it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.encoders.target import Target
from snt_zoo.errors import ConfigError
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry import BundleConfig, Registry, read_bundle
from snt_zoo.registry.bundle.model_card import model_card
from snt_zoo.registry.retrieval import retrieve
from snt_zoo.zoo import starter_bundles
from tests.registry.making import config_data, edit_config, make_bundle, network, sketch, source

HEADS = (3, 4)


def generalist(folder: Path, **changes: Any) -> Path:
    """A bundle of two sources, whose sketches are those of seeds 0 and 1."""
    plain = network(classes=sum(HEADS))
    config = NetworkConfig(plain.config.space, plain.config.hyperparameters, sum(HEADS), 16, heads=HEADS)
    net = Supernet(config)
    net.load_state_dict(plain.state_dict())
    entries = [
        source(f"d{index}", classes=size, val_accuracy=0.5 + index / 10, test_accuracy=0.4)
        for index, size in enumerate(HEADS)
    ]
    training = {**config_data(net)["training"], "datasets": entries}
    sketches = [sketch(seed=index, classes=size, name=f"d{index}") for index, size in enumerate(HEADS)]
    return make_bundle(folder, net=net, sketches=sketches, training=training, **changes)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    bundle = read_bundle(generalist(tmp_path / "bundle"))
    assert bundle.supernet.config.heads == bundle.config.network.heads == HEADS
    assert [entry.val_accuracy for entry in bundle.config.training.datasets] == [0.5, 0.6]
    assert BundleConfig.from_bytes(bundle.config.to_bytes()) == bundle.config


def test_bundles_of_one_head_keep_their_bytes() -> None:
    for folder in starter_bundles():
        raw = (folder / "config.json").read_bytes()
        assert BundleConfig.from_bytes(raw).to_bytes() == raw
        assert (folder / "README.md").read_text("utf-8") == model_card(BundleConfig.from_bytes(raw))


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ([4, 3], r"network\.heads must be the classes of training\.datasets"),
        ([7], r"network\.heads must be the classes of training\.datasets"),
        ([3, 3], "with the sum num_classes = 7"),
        ([8, -1], "greater than or equal to 2"),
        ([6, 1], "greater than or equal to 2"),
        ([2] * 300, "at most 256"),
        ("33", "heads"),
        ([3.5, 3.5], "heads"),
    ],
)
def test_heads_that_do_not_fit_are_refused(tmp_path: Path, heads: Any, reason: str) -> None:
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["network"].update(heads=heads))
    with pytest.raises(ConfigError, match=reason):
        read_bundle(folder)


@pytest.mark.parametrize("value", [1.5, -0.1, "0.5", float("nan")])
def test_an_accuracy_of_a_source_is_a_share(tmp_path: Path, value: Any) -> None:
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["training"]["datasets"][1].update(val_accuracy=value))
    with pytest.raises(ConfigError):
        read_bundle(folder)


def test_the_heads_may_be_left_out(tmp_path: Path) -> None:
    """As in bundles of several sources from before, whose classes competed in one softmax."""
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["network"].pop("heads"))
    assert read_bundle(folder).supernet.config.heads == ()
    assert "heads" not in json.loads((folder / "config.json").read_text("utf-8"))["network"]


def test_the_card_tells_the_accuracy_on_each_source(tmp_path: Path) -> None:
    card = (generalist(tmp_path / "bundle") / "README.md").read_text("utf-8")
    assert "| validation accuracy | test accuracy |" in card
    assert "| d1 | " in card and "60.00 % | 40.00 % |" in card


def test_it_is_found_by_each_source_but_after_that_sources_own_supernet(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    alone = make_bundle(tmp_path / "alone", name="z-alone", sketches=[sketch(seed=0, name="d0")])
    for folder in (generalist(tmp_path / "all", name="a-generalist"), alone):
        registry.add(folder)
    found = retrieve(registry, Target(sketch(seed=0)), k=2)
    assert [match.id.rsplit("-", 1)[0] for match in found] == ["z-alone", "a-generalist"]
    assert found[0].distance == found[1].distance
    found = retrieve(registry, Target(sketch(seed=1, classes=4)), k=1)
    assert found[0].id.startswith("a-generalist")
    assert {pair.source for pair in found[0].class_matches} == {"d1"}
