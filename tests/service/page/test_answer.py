"""The answer of a query, in sentences: they say what was measured, and no more."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.encoders.probe import Probe
from snt_zoo.registry.retrieval import ClassPair, Match, QueryResult, RankedBy
from snt_zoo.service.page.answer import found_of, spot_of, verdict_of
from snt_zoo.service.page.zoo_map import Dot, ZooMap


def match(id: str = "a-1", head: float | None = None, **changes: object) -> Match:
    pairs = (ClassPair("cat", "src", "lynx", 0.2), ClassPair("dog", "src", "wolf", 0.1))
    fields = {
        "id": id,
        "space": "darts",
        "sources": ("src",),
        "score": 0.5,
        "distance": 1.0,
        "predicted_accuracy": None,
        "predicted_interval": None,
        "predicted_budget": None,
        "head_accuracy": head,
        "params": 10,
        "macs": 20,
        "class_matches": pairs,
        "licences": ("MIT",),
    }
    return Match(**{**fields, **changes})  # type: ignore[arg-type]


def result(*matches: Match, close: bool | None = None, probe: float | None = None) -> QueryResult:
    measured = (
        None
        if probe is None
        else Probe(
            "tiny",
            torch.zeros(2, 3),
            torch.zeros(2),
            val_accuracy=probe,
            strength=1.0,
            images=50,
            seconds=1.0,
        )
    )
    return QueryResult(matches, close, {}, RankedBy("class-ot", "class"), measured)


def test_what_was_not_measured_is_not_said() -> None:
    assert verdict_of(result(match())) == ("Whether any supernet is close was not measured.",)
    (found,) = found_of(result(match()))
    assert found.gain is None


def test_a_gain_is_told_in_points_above_the_classifier() -> None:
    asked = result(match("a-1", 0.75), match("b-2", 0.5), match("c-3"), close=True, probe=0.7)
    assert [found.gain for found in found_of(asked)] == [pytest.approx(5.0), pytest.approx(-20.0), None]
    said = " ".join(verdict_of(asked)).replace("\N{NO-BREAK SPACE}", " ")
    for figure in ("a-1 has 75.0 %", "70.0 %", "50 of your images"):
        assert figure in said
    assert said.startswith("A supernet is close")
    assert verdict_of(result(match("a-1", 0.5), close=False, probe=0.9))[0].startswith("No supernet is close")


def test_a_reason_names_the_nearest_pairs_first() -> None:
    (found,) = found_of(result(match()))
    assert "dog near wolf, cat near lynx" in found.reason
    assert [name for name, _ in found.links.left] == ["dog", "cat"]
    (broad,) = found_of(result(match(sources=("src", "other"))))
    assert "of src" in broad.reason
    (broken,) = found_of(result(match(diverged=True)))
    assert "overflow" in broken.reason


def test_the_spot_has_a_line_to_each_match_that_is_drawn() -> None:
    dots = tuple(Dot(id, x, 2.0, 0, "g", False, (id,)) for id, x in (("a-1", 1.0), ("z-9", 5.0)))
    spot = spot_of(ZooMap(dots, (), 2, 1.0, 9.0), (7.0, 8.0), [match("a-1"), match("b-2")])
    assert (spot.x, spot.y, spot.lines) == (7.0, 8.0, ((1.0, 2.0),))
