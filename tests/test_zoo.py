"""The facade with the starter zoo that ships: real supernets, real images."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import NoMatchError, NotInRegistryError
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.registry.bundle.bundle import read_bundle, read_header
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES
from zoo.sources import RECIPES


def test_the_starter_zoo_is_whole(zoo: Zoo) -> None:
    records = zoo.list()
    # Not all of them: recipes of pictures at 64 pixels are written, and wait to be trained.
    assert {record.name for record in records} < {path.stem for path in RECIPES.glob("*.json")}
    assert len(records) == len(starter_bundles()) and len(zoo.list(tag="generalist")) >= 5
    size = sum(file.stat().st_size for folder in starter_bundles() for file in folder.iterdir())
    assert size < 48e6
    for folder in starter_bundles():
        config, sketches, _ = read_header(folder)
        assert config.licence and config.tags and config.description
        assert all(source.licence and source.source for source in config.training.datasets)
        assert config.metrics.val_accuracy is not None and config.metrics.test_accuracy is not None
        # Better than guessing by far, on images that trained nothing.
        assert config.metrics.test_accuracy > 2 / config.network.num_classes or config.network.num_classes < 4
        assert [sketch.name for sketch in sketches] == [d.name for d in config.training.datasets]


def test_accuracy_on_a_card_is_what_the_bundle_has() -> None:
    folder = next(f for f in starter_bundles() if f.name == "nb201-font-arabic")
    bundle = read_bundle(folder)
    # All images of the sample file: its own splits do not matter here.
    data = open_dataset(SAMPLES / "font_arabic.npz")
    right = sum(evaluate(bundle.supernet, part) * len(part) for part in (data.train, data.val, data.test))
    total = len(data.train) + len(data.val) + len(data.test)
    stated = bundle.config.metrics.test_accuracy
    assert stated is not None
    # 168 of the 500 test images that the card speaks of: within 3 standard errors.
    assert right / total == pytest.approx(stated, abs=3 * (stated * (1 - stated) / total) ** 0.5 + 0.01)


def test_a_supernet_is_loaded_by_its_name(zoo: Zoo) -> None:
    supernet = zoo.load("nb201-font-arabic")
    assert supernet.config.space == "nas_bench_201" and supernet.genotype().space == "nas_bench_201"
    with pytest.raises(NotInRegistryError, match="did you mean"):
        zoo.load("nb201-font-arabik")


def test_pretrain_add_query_remove(tmp_path: Path, few_digits: ImageDataset) -> None:
    zoo = Zoo.open(tmp_path / "home", starter=False)
    made = Zoo.pretrain(
        [few_digits],
        out=tmp_path / "bundle",
        hyperparameters={"channels": 4, "stem_stride": 2},
        epochs=2,
        name="tiny-digits",
        tags=["digits"],
        licence="BSD-3-Clause",
        device="cpu",
        recipe={"batch_size": 64},
    )
    assert set(made.to_json()) >= {"id", "params", "metrics", "seconds", "out"}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []  # nothing is left over
    record = zoo.add(tmp_path / "bundle")
    assert record.id == made.id and zoo.show("tiny").id == made.id
    assert zoo.query(few_digits)[0].id == made.id
    assert zoo.remove("tiny-digits") == made.id
    assert zoo.list() == []
    with pytest.raises(NoMatchError, match="snt-zoo add"):
        zoo.query(few_digits)


def test_a_removed_starter_supernet_stays_away(tmp_path: Path) -> None:
    zoo = Zoo.open(tmp_path)
    gone = zoo.remove(zoo.list()[0].id)
    assert gone not in [record.id for record in Zoo.open(tmp_path).list()]
