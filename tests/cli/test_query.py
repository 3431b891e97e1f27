"""`snt-zoo query`: which supernets, and how that looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke, reason


def test_query_answers_the_contract(photos: Path, home: Path, pretrained: Any) -> None:
    found = answer("query", photos, "--home", home)
    assert set(found) == {"matches", "close", "seconds", "ranked_by", "probe"}
    assert set(found["seconds"]) == {"read", "sketch", "shortlist", "rerank", "probe", "heads"}
    assert set(found["probe"]) == {"val_accuracy", "images", "seconds"}
    (match,) = found["matches"]
    assert set(match) == {
        "id",
        "space",
        "sources",
        "score",
        "distance",
        "predicted_accuracy",
        "head_accuracy",
        "params",
        "macs",
        "class_matches",
    }
    assert match["id"] == pretrained[1]["id"]
    for pair in match["class_matches"]:
        assert set(pair) == {"target", "source", "source_class", "distance"}
        assert pair["target"] == pair["source_class"]  # the dataset is nearest to itself


def test_query_shows_people_the_same(photos: Path, home: Path, pretrained: Any) -> None:
    result = invoke("query", photos, "--home", home)
    assert result.exit_code == 0
    assert pretrained[1]["id"] in result.stdout
    assert "one ~ one" in result.stdout
    assert "rerank" in result.stdout
    assert "a linear classifier" in result.stdout


@pytest.mark.parametrize(
    "constraint",
    [("--max-params", 10), ("--max-macs", "1k"), ("--space", "darts"), ("--exclude", "small")],
)
def test_a_query_that_nothing_meets_says_so(constraint: tuple[str, object], photos: Path, home: Path) -> None:
    assert "constraints" in reason(invoke("query", photos, "--home", home, *constraint))


def test_a_query_tells_what_ranked(photos: Path, home: Path) -> None:
    for name, level in (("otdd", "exact"), ("mean-feature", "mean-feature"), ("logme", "logme")):
        found = answer("query", photos, "--distance", name, "--home", home)
        assert found["ranked_by"] == {"distance": name, "level": level}
        assert found["matches"][0]["class_matches"]
    shown = invoke("query", photos, "--distance", "frechet", "--home", home).stdout
    assert "ranked by: frechet" in shown
    line = reason(invoke("query", photos, "--distance", "euclid", "--home", home))
    assert "choose one of class-means, class-ot" in line
