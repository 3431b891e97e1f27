"""From datasets to a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import ConfigError
from snt_zoo.registry.bundle.bundle import read_header
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES


def test_several_sources_make_one_supernet(tmp_path: Path, few_digits: ImageDataset) -> None:
    other = open_dataset(SAMPLES / "textile_sim.npz")
    made = Zoo.pretrain(
        [few_digits, other],
        out=tmp_path / "bundle",
        hyperparameters={"channels": 2, "stem_stride": 2},
        epochs=1,
        device="cpu",
    )
    config, sketches, _ = read_header(made.out)
    assert config.network.num_classes == 10 + other.num_classes
    assert config.network.heads == (10, other.num_classes)
    entries = config.training.datasets
    vals = [entry.val_accuracy for entry in entries]
    assert config.metrics.val_accuracy == pytest.approx(sum(v or 0.0 for v in vals) / 2) and None not in vals
    card = (made.out / "README.md").read_text("utf-8")
    assert f"{100 * (entries[1].test_accuracy or 0):.2f} %" in card
    assert [sketch.name for sketch in sketches] == ["few-digits", "textile_sim"]
    zoo = Zoo.open(tmp_path / "home", starter=False)
    zoo.add(made.out)
    match = zoo.query(other)[0]
    assert match.sources == ("few-digits", "textile_sim")
    assert {pair.source for pair in match.class_matches} == {"textile_sim"}  # the nearer of the two
    assert match.distance == pytest.approx(0.0, abs=1e-2)


def test_what_the_format_refuses_shows_before_any_training(tmp_path: Path, few_digits: ImageDataset) -> None:
    with pytest.raises(ConfigError):
        Zoo.pretrain([few_digits], out=tmp_path / "b", name="Not A Slug!", epochs=10_000)
