"""`snt-zoo distance`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snt_zoo.cli.distance import show_distance
from tests.cli.conftest import answer, invoke, reason


def test_a_dataset_is_at_no_distance_from_itself(photos: Path, home: Path) -> None:
    found = answer("distance", photos, photos, "--home", home)
    assert set(found) == {"a", "b", "distance", "level", "parts", "class_matches", "plot", "seconds"}
    assert found["distance"] == pytest.approx(0.0, abs=1e-3) and found["level"] == "class"
    assert found["a"] == {"name": "photos", "classes": 3} == found["b"]
    assert [(m["target"], m["source_class"]) for m in found["class_matches"]] == [
        (name, name) for name in [m["target"] for m in found["class_matches"]]
    ]


@pytest.mark.parametrize(
    ("method", "level"), [("exact", "exact"), ("entropic", "entropic"), ("auto", "exact")]
)
def test_samples_against_a_supernet_of_the_registry(
    photos: Path, home: Path, method: str, level: str
) -> None:
    options = ("--level", "samples", "--method", method, "--samples", 30, "--label-weight", 0.5)
    found = answer("distance", photos, "tiny", *options, "--home", home)
    back = answer("distance", "tiny", photos, *options, "--home", home)
    assert found["level"] == level and set(found["parts"]) == {"features", "labels"}
    assert found["distance"] == pytest.approx(back["distance"], rel=1e-3)
    assert len(found["class_matches"]) == 3 and found["b"]["classes"] == 3


def test_the_picture_is_written_and_named(photos: Path, home: Path, tmp_path: Path) -> None:
    picture = tmp_path / "coupling.svg"
    result = invoke("distance", photos, "tiny", "--plot", picture, "--home", home)
    assert result.exit_code == 0, result.output
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    assert "picture: " in result.stdout and "nearest class" in result.stdout


def test_what_is_neither_a_dataset_nor_a_supernet(photos: Path, home: Path) -> None:
    line = reason(invoke("distance", photos, "nowhere", "--home", home))
    assert "is no dataset" in line and "snt-zoo list" in line


def test_options_of_another_level_are_refused(photos: Path, home: Path) -> None:
    line = reason(invoke("distance", photos, photos, "--epsilon", 1, "--samples", 9, "--home", home), 2)
    assert "--epsilon, --samples is for --level samples" in line


def test_json_and_table_tell_the_same_distance(photos: Path, home: Path) -> None:
    found = invoke("distance", photos, "tiny", "--home", home, "--json").stdout
    shown = invoke("distance", photos, "tiny", "--home", home).stdout
    assert f"distance {json.loads(found)['distance']:.4f}" in shown


@pytest.mark.parametrize(("columns", "rows", "widest"), [("80", 20, 80), ("", 30, 200)])
def test_a_terminal_shows_the_nearest_classes_and_a_pipe_all(
    columns: str, rows: int, widest: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    pair = {"target": "a" * 50, "source_class": "b" * 50, "distance": 0.5, "mass": 1.0}
    sides = {side: {"name": "letters", "classes": 30} for side in "ab"}
    facts = {"distance": 0.5, "level": "class", "parts": {"means": 0.25}, "plot": None}
    show_distance({**sides, **facts, "class_matches": [pair] * 30})
    lines = capsys.readouterr().out.splitlines()
    assert sum("0.500" in line and "100 %" in line for line in lines) == rows
    assert max(map(len, lines)) <= widest
    assert ("and 10 more" in lines[-1]) is (rows < 30)
