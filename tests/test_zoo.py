"""The facade with the starter zoo that ships: real supernets, real images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import BudgetError, ConfigError, NoMatchError, NotInRegistryError, RegistryError
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import fit_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.bundle.bundle import read_bundle, read_header
from snt_zoo.search.recipe import Recipe
from snt_zoo.workflows.finetune import GENERALIST, GENERALISTS, STARTER_NETWORK
from snt_zoo.zoo import Zoo, starter_bundles
from zoo.sources import RECIPES

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo.open(tmp_path_factory.mktemp("home"))


def test_the_starter_zoo_is_whole(zoo: Zoo) -> None:
    records = zoo.list()
    assert {record.name for record in records} == {path.stem for path in RECIPES.glob("*.json")}
    assert len(records) == len(starter_bundles()) and len(zoo.list(tag=GENERALIST)) >= 5
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


@pytest.mark.parametrize("name", ["font_arabic", "icon_files", "textile_sim"])
def test_held_out_images_of_a_source_find_its_supernet(zoo: Zoo, name: str) -> None:
    matches = zoo.query(open_dataset(SAMPLES / f"{name}.npz"), k=3)
    assert matches[0].sources == (name,)
    # But for rounding, in which sketches of one dataset differ between releases.
    assert [m.distance for m in matches] == pytest.approx(sorted(m.distance for m in matches), abs=1e-4)
    assert [m.score for m in matches] == pytest.approx(
        sorted((m.score for m in matches), reverse=True), abs=1e-4
    )
    # Each class lies nearest to the one of its own name, for most classes.
    pairs = matches[0].class_matches
    assert len(pairs) == open_dataset(SAMPLES / f"{name}.npz").num_classes
    assert sum(pair.target == pair.source_class for pair in pairs) > len(pairs) / 2


def test_a_sketch_finds_itself_at_no_distance(zoo: Zoo) -> None:
    for record in zoo.list():
        sketch = zoo.registry.sketches(record.id)[0]
        first = zoo.query(sketch, k=1)[0]
        # Of all that were trained on it the one that saw nothing else, where there is one.
        assert first.sources == (sketch.name,)
        assert first.distance == pytest.approx(0.0, abs=1e-2)


def test_a_query_gives_the_documented_json(zoo: Zoo, digits: ImageDataset) -> None:
    found = json.loads(json.dumps(zoo.query(digits, k=2).to_json(), allow_nan=False))
    assert set(found) == {"matches", "close", "ranked_by", "seconds", "probe"}
    assert found["close"] is (
        max(match["head_accuracy"] for match in found["matches"]) > found["probe"]["val_accuracy"] - 0.05
    )
    assert found["ranked_by"] == {"distance": "class-ot", "level": "class"}
    assert set(found["seconds"]) == {"sketch", "shortlist", "rerank", "probe", "heads"}
    assert found["probe"]["images"] <= 512 and 0.8 < found["probe"]["val_accuracy"] <= 1
    assert found["probe"]["seconds"] == found["seconds"]["probe"]
    assert zoo.query(zoo.sketch(digits)).to_json()["probe"] is None  # a sketch has no images
    without = zoo.query(digits, probe=False)
    assert without.probe is None and without.close is None and without[0].head_accuracy is None
    assert len(found["matches"]) == 2
    expected = "id space sources score distance predicted_accuracy head_accuracy params macs class_matches"
    for match in found["matches"]:
        assert list(match) == expected.split()
        assert match["predicted_accuracy"] is None
        for pair in match["class_matches"]:
            assert list(pair) == ["target", "source", "source_class", "distance"]
            assert pair["source"] in match["sources"]


def test_constraints_filter_and_an_empty_answer_says_what_to_do(zoo: Zoo, digits: ImageDataset) -> None:
    sketch = zoo.sketch(digits)
    everything = zoo.query(sketch, k=100)
    assert len(everything) == len(zoo.list())
    limit = sorted(match.params for match in everything)[len(everything) // 2]
    small = zoo.query(sketch, k=100, max_params=limit)
    assert [m.id for m in small] == [m.id for m in everything if m.params <= limit]
    without = zoo.query(sketch, k=100, exclude=["digits", everything[1].id])
    left_out = {r.id for r in zoo.list(tag="digits")} | {everything[1].id}
    assert [m.id for m in without] == [m.id for m in everything if m.id not in left_out]
    for typo in ("digit-typo", ""):
        with pytest.raises(NotInRegistryError, match="see `snt-zoo list`"):
            zoo.query(sketch, exclude=["digits", typo])
    for k in (0, -1):
        with pytest.raises(RegistryError, match="at least 1"):
            zoo.query(sketch, k=k)
    assert {match.space for match in zoo.query(sketch, k=100, space="darts")} == {"darts"}
    for impossible in ({"max_params": 10}, {"max_macs": 10}, {"space": "darts", "max_params": 1000}):
        with pytest.raises(NoMatchError, match="raise --max-params or --max-macs"):
            zoo.query(sketch, **impossible)  # type: ignore[arg-type]


def test_transfer_from_other_concepts_beats_fresh_weights_at_once(zoo: Zoo, digits: ImageDataset) -> None:
    """The point of it all: with the trunk frozen, a pretrained one separates unseen digits better."""
    best = zoo.query(digits, k=1, exclude=["digits"])[0]
    accuracies = []
    for start in (zoo.load(best.id), None):
        generator = torch.Generator().manual_seed(0)
        if start is None:
            net = Supernet.create(replace(STARTER_NETWORK, num_classes=10), generator=generator)
        else:
            net = start.with_head(10, generator=generator)
        recalibrate(net, digits.train)
        fit_head(net, digits.train)
        accuracies.append(evaluate(net, digits.val))
    assert accuracies[0] > accuracies[1] + 0.02


def test_finetune_takes_a_match_an_id_auto_or_scratch(
    zoo: Zoo, few_digits: ImageDataset, tmp_path: Path
) -> None:
    match = zoo.query(few_digits, k=1)[0]
    told: list[str] = []
    for source, expected in ((match, match.id), (match.id[:-4], match.id)):
        result = zoo.finetune(source, few_digits, epochs=1, on_source=told.append, device="cpu", floor=False)
        assert result.returned == "derived" and result.probe is None and result.derived is None
        assert result.source == told.pop() == expected
    scratch = zoo.finetune("scratch", few_digits, epochs=1, out=tmp_path / "model", device="cpu")
    assert scratch.source == "scratch"
    files = {"config.json", "model.safetensors", "genotype.json", "report.json", "report.html"}
    # A probe is better than one epoch from scratch; what was derived lies beside it, the checkpoint is gone.
    assert scratch.returned == "probe" and scratch.derived is not None
    assert {path.name for path in (tmp_path / "model").iterdir()} == files | {"derived"}
    assert {path.name for path in (tmp_path / "model" / "derived").iterdir()} == files
    with pytest.raises(NotInRegistryError):
        zoo.finetune("no-such-supernet", few_digits, epochs=1)
    with pytest.raises(BudgetError, match="not both"):
        zoo.finetune("scratch", few_digits, epochs=1, budget="1m")


def test_auto_races_the_best_matches_and_the_generalists(
    zoo: Zoo, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("snt_zoo.workflows.finetune.CANDIDATES", 2)
    matches = [match.id for match in zoo.query(few_digits, k=100, probe=False)]
    general = {record.id for record in zoo.list(tag=GENERALIST)}
    nearest = [id for id in matches if id in general][:GENERALISTS]
    expected = [*matches[:2], *(id for id in nearest if id not in matches[:2])]
    assert len(expected) > 3
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "floor": False}
    result = zoo.finetune("auto", few_digits, on_source=told.append, **options)
    assert [row["id"] for row in result.race] == expected
    assert told == [result.source]
    # The broadest of the good heads: no other good one was trained on more datasets.
    good = {row["id"] for row in result.race if row["out"] in (None, "narrower")}
    assert len(zoo.show(result.source).sources) == max(len(zoo.show(id).sources) for id in good)
    assert json.loads(json.dumps(result.to_json()))["race"] == [dict(row) for row in result.race]
    # In a registry of which a part is ranked the generalists are asked for.
    monkeypatch.setattr("snt_zoo.workflows.finetune.RANKED", 2)
    again = zoo.finetune("auto", few_digits, **options)
    assert [row["id"] for row in again.race] == expected


def test_a_recipe_is_given_as_what_to_change(zoo: Zoo, few_digits: ImageDataset) -> None:
    """A whole one would drop the rate that is right for a transfer."""
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "floor": False}
    result = zoo.finetune("nb201-font-arabic", few_digits, recipe={"searcher": "drnas"}, **options)
    assert result.search["searcher"] == "drnas" and "weight_lr=0.02" in result.settings["recipe"]
    for wrong, why in (
        (Recipe(searcher="drnas"), "the fields to change"),
        ({"seacher": "drnas"}, "did you mean searcher"),
        ({"batch_size": "many"}, "of the type int"),
    ):
        with pytest.raises(ConfigError, match=why):
            zoo.finetune("scratch", few_digits, recipe=wrong, **options)


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


def test_a_removed_starter_supernet_stays_away(tmp_path: Path) -> None:
    zoo = Zoo.open(tmp_path)
    gone = zoo.remove(zoo.list()[0].id)
    assert gone not in [record.id for record in Zoo.open(tmp_path).list()]
