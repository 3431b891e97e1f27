"""`snt-zoo query`: which supernets, and how that looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.cli.query import show_matches

from .conftest import answer, invoke, reason


def test_query_answers_the_contract(photos: Path, home: Path, pretrained: Any) -> None:
    found = answer("query", photos, "--home", home)
    assert set(found) == {"matches", "close", "seconds", "ranked_by", "probe", "passed_over", "links_out"}
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
        "licences",
    }
    assert match["licences"] and all(isinstance(licence, str) for licence in match["licences"])
    assert match["id"] == pretrained[1]["id"]
    for pair in match["class_matches"]:
        assert set(pair) == {"target", "source", "source_class", "distance"}
        assert pair["target"] == pair["source_class"]  # the dataset is nearest to itself


def test_query_shows_people_the_same(photos: Path, home: Path, pretrained: Any) -> None:
    result = invoke("query", photos, "--home", home)
    assert result.exit_code == 0
    assert pretrained[1]["id"] in result.stdout
    assert "one ~ one" in result.stdout
    assert re.search(r"To beat: \d+\.\d %, by a linear classifier", result.stdout)
    assert "The query took" in result.stdout


@pytest.mark.parametrize(
    "constraint",
    [
        ("--max-params", 10),
        ("--max-macs", "1k"),
        ("--space", "darts"),
        ("--exclude", "small"),
        ("--licence", "GPL*"),
    ],
)
def test_a_query_that_nothing_meets_says_so(constraint: tuple[str, object], photos: Path, home: Path) -> None:
    assert "constraints" in reason(invoke("query", photos, "--home", home, *constraint))


def test_a_query_tells_what_ranked(photos: Path, home: Path) -> None:
    for name, level in (("otdd", "exact"), ("mean-feature", "mean-feature"), ("logme", "logme")):
        found = answer("query", photos, "--distance", name, "--home", home)
        assert found["ranked_by"] == {"distance": name, "level": level}
        assert found["matches"][0]["class_matches"]
        shown = invoke("query", photos, "--distance", name, "--home", home).stdout
        assert f"({name})" in shown or f"({name}, {level})" in shown
    line = reason(invoke("query", photos, "--distance", "euclid", "--home", home))
    assert "choose one of class-means, class-ot" in line


@pytest.mark.parametrize("columns", [80, 120])
def test_a_query_fits_the_terminal(columns: int, photos: Path, general: tuple[Path, str]) -> None:
    home, id = general
    lines = invoke("query", photos, "--home", home, columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[1].split()[:2] == ["1", id]
    assert lines[2].startswith("      trained on      30 sources: font_latin_upper, ")
    assert re.match(r"      yours ~ theirs  \w+: \w+ ~ \S+ \(\d\.\d\d\)", lines[3])
    assert lines[4].startswith("      licences        weights: Apache-2.0; trained on")
    assert lines[5] == ""  # all there is of one match


def test_a_query_in_a_pipe_has_a_line_for_each_match(photos: Path, general: tuple[Path, str]) -> None:
    head, row, *rest = invoke("query", photos, "--home", general[0]).stdout.splitlines()
    assert head.index("yours ~ theirs") == row.index(re.findall(r"\w+: \w+ ~", row)[-1])
    assert "30 sources: font_latin_upper" in row and rest[0] == ""


@pytest.mark.parametrize(("close", "told"), [(True, False), (None, False), (False, True)])
def test_it_says_when_nothing_is_close(
    close: bool | None, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = {"distance": "class-ot", "level": "class"}
    show_matches({"matches": [], "ranked_by": ranked, "probe": None, "close": close, "seconds": {"a": 1.0}})
    shown = capsys.readouterr().out
    assert ("No supernet is close" in shown) is told
    assert "(class-ot)" in shown and "1.0 s" in shown and "linear classifier on" not in shown
