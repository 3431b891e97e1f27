"""Queries of the starter zoo that ships: real supernets, real images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import NoMatchError, NotInRegistryError, RegistryError
from snt_zoo.formats import tensor_cache
from snt_zoo.registry.retrieval import QueryResult
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES


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
    assert set(found) == {"matches", "close", "ranked_by", "seconds", "probe", "predicted_probe"}
    assert found["close"] is (
        max(match["head_accuracy"] for match in found["matches"]) > found["probe"]["val_accuracy"] - 0.05
    )
    assert found["ranked_by"] == {"distance": "class-ot", "level": "class", "by": "distance"}
    assert set(found["seconds"]) == {"sketch", "shortlist", "rerank", "probe", "heads"}
    assert found["probe"]["images"] <= 512 and 0.8 < found["probe"]["val_accuracy"] <= 1
    assert found["probe"]["seconds"] == found["seconds"]["probe"]
    assert zoo.query(zoo.sketch(digits)).to_json()["probe"] is None  # a sketch has no images
    without = zoo.query(digits, probe=False)
    assert without.probe is None and without[0].head_accuracy is None
    assert without.close is True  # predicted: digits are no photographs
    assert len(found["matches"]) == 2
    expected = "id space sources score distance predicted_accuracy predicted_interval predicted_budget"
    expected += " head_accuracy params macs class_matches licences"
    for match in found["matches"]:
        assert list(match) == expected.split()
        low, high = match["predicted_interval"]
        assert 0 <= low < match["predicted_accuracy"] < high <= 1 and match["predicted_budget"] == "0s"
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


def test_a_second_query_computes_neither_features_nor_probe_nor_heads(
    zoo: Zoo, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tensor_cache.SWITCH, "1")
    monkeypatch.setattr(tensor_cache.platformdirs, "user_cache_dir", lambda *_: str(tmp_path))
    told: list[tuple[str, int, int]] = []
    stages: list[str] = []

    def ask() -> QueryResult:
        return zoo.query(
            digits,
            k=2,
            on_stage=stages.append,
            on_progress=lambda done, total: told.append((stages[-1], done, total)),
        )

    first = ask()
    assert stages == ["sketch", "search", "probe", "heads"]
    assert [max(each for each in told if each[0] == stage) for stage in ("sketch", "probe", "heads")] == [
        ("sketch", 510, 510),
        ("probe", 135, 135),  # every second, so that they are at most 256
        ("heads", 2, 2),
    ]

    def never(*given: object, **more: object) -> None:
        raise AssertionError("it was computed again")

    for name in (
        "encoders.backbone.Backbone.features",
        "workflows.query.fit_probe",
        "registry.closeness.begin_on",
    ):
        monkeypatch.setattr(f"snt_zoo.{name}", never)
    again = ask()
    assert again.matches == first.matches and again.close == first.close
    assert again.probe is not None and first.probe is not None
    assert again.probe.to_json() | {"seconds": 0} == first.probe.to_json() | {"seconds": 0}
    assert torch.equal(again.probe.weight, first.probe.weight) and torch.equal(
        again.probe.bias, first.probe.bias
    )
    assert again.probe.strength == first.probe.strength


def test_the_highest_predicted_accuracy_comes_first_where_it_is_asked_for(
    zoo: Zoo, digits: ImageDataset
) -> None:
    sketch = zoo.sketch(digits)
    found = zoo.query(sketch, k=100, by="accuracy")
    said = [match.predicted_accuracy for match in found]
    assert said == sorted(said, reverse=True) and found.ranked_by.by == "accuracy"
    nearest = {match.id: match.predicted_accuracy for match in zoo.query(sketch, k=100)}
    assert nearest == {match.id: match.predicted_accuracy for match in found}
    assert found.predicted_probe is not None and 0 < found.predicted_probe < 1
    with pytest.raises(RegistryError, match="no accuracy is predicted"):
        zoo.query(sketch, by="accuracy", distance="frechet")


def test_the_probe_that_the_predictor_knows_moves_predictions_and_no_other_does(
    zoo: Zoo, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [match.predicted_accuracy for match in zoo.query(few_digits, probe=False)]
    found = zoo.query(few_digits)
    assert [match.predicted_accuracy for match in found] != alone
    assert found.probe is not None
    other = replace(found.probe, backbone="another look")
    monkeypatch.setattr("snt_zoo.workflows.query._probe", lambda *_: other)
    assert [match.predicted_accuracy for match in zoo.query(few_digits)] == alone
