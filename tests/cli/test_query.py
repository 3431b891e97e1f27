"""`snt-zoo query`: which supernets, and how that looks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.cli.query import query_command, show_answer, show_matches

from .conftest import answer, invoke, reason


def test_query_answers_the_contract(photos: Path, home: Path, pretrained: Any) -> None:
    found = answer("query", photos, "--home", home)
    keys = "matches close seconds ranked_by probe predicted_probe passed_over links_out"
    assert set(found) == set(keys.split())
    assert set(found["seconds"]) == {"read", "sketch", "shortlist", "rerank", "probe", "heads"}
    assert set(found["probe"]) == {"backbone", "val_accuracy", "images", "seconds"}
    (match,) = found["matches"]
    assert set(match) == {
        "id",
        "space",
        "sources",
        "score",
        "distance",
        "predicted_accuracy",
        "predicted_interval",
        "predicted_budget",
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
    result = invoke("query", photos, "--home", home, "--all")
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
        assert found["ranked_by"] == {"distance": name, "level": level, "by": "distance"}
        assert found["matches"][0]["class_matches"]
        shown = invoke("query", photos, "--distance", name, "--home", home, "--all").stdout
        assert f"({name})" in shown or f"({name}, {level})" in shown
    line = reason(invoke("query", photos, "--distance", "euclid", "--home", home))
    assert "choose one of class-means, class-ot" in line


@pytest.mark.parametrize("columns", [80, 120])
def test_a_query_fits_the_terminal(columns: int, photos: Path, general: tuple[Path, str]) -> None:
    home, id = general
    lines = invoke("query", photos, "--home", home, columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[1].split()[:2] == ["1", id]
    assert "gain" in lines[0]
    assert re.fullmatch(r"      expected        \d+ % \(\d+–\d+\)", lines[2])
    assert lines[3].startswith("      trained on      30 sources: font_latin_upper, ")
    assert re.match(r"      yours ~ theirs  \w+: \w+ ~ \S+ \(\d\.\d\d\)", lines[4])
    assert lines[5].startswith("      licences        weights: Apache-2.0; trained on")
    assert lines[6] == ""  # all there is of one match


def test_a_query_in_a_pipe_has_a_line_for_each_match(photos: Path, general: tuple[Path, str]) -> None:
    head, row, *rest = invoke("query", photos, "--home", general[0]).stdout.splitlines()
    assert head.index("yours ~ theirs") == row.index(re.findall(r"\w+: \w+ ~", row)[-1])
    assert "30 sources: font_latin_upper" in row and rest[0] == ""


def match(id: str, head: float | None, *sources: str) -> dict[str, Any]:
    """A match as a document has it."""
    return {
        "id": id,
        "space": "darts",
        "sources": list(sources),
        "distance": 0.5,
        "head_accuracy": head,
        "params": 1000,
        "macs": 1000,
        "class_matches": [],
        "licences": ["MIT"],
    }


def document(close: bool | None, *heads: float | None, probe: bool = True) -> dict[str, Any]:
    """An answer in which the probe has 0.8."""
    return {
        "matches": [match(f"net-{i}", head, *"abc"[: i + 1]) for i, head in enumerate(heads)],
        "ranked_by": {"distance": "class-ot", "level": "class"},
        "probe": {"backbone": "mobilenet_v2", "val_accuracy": 0.8, "images": 512} if probe else None,
        "close": close,
        "seconds": {"a": 1.0},
    }


def shown(capsys: pytest.CaptureFixture[str], found: dict[str, Any], *options: str) -> list[str]:
    """What people see of an answer, line by line."""
    with query_command.make_context("query", ["my photos", *options]):
        show_answer(found)
    return capsys.readouterr().out.splitlines()


def test_where_nothing_is_close_it_says_so_first_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(False, 0.4, 0.615, None)
    first, *rest = shown(capsys, found)
    assert first == "No supernet is close to your data."
    text = "\n".join(rest)
    assert "80.0 %  a linear classifier on the ImageNet backbone mobilenet_v2" in text
    assert "61.5 %  net-1 with a new last layer, trained on 2 datasets" in text  # the best of those measured
    assert "  snt-zoo finetune 'my photos'" in rest
    assert "Far matches that are left out: 3; --all lists them." in rest
    assert "net-0" not in text and "Ranked by" not in text and rest[-1] == "The query took 1.0 s."


def test_the_next_command_is_the_users_own(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, document(False, 0.4), "--home", "/some where", "--on-bad-image", "skip")
    (command,) = (line for line in lines if "snt-zoo finetune" in line)
    expected = ["snt-zoo", "finetune", "my photos", "--on-bad-image", "skip", "--home", "/some where"]
    assert shlex.split(command) == expected


def test_far_matches_are_listed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = shown(capsys, document(False, 0.4, None), "--all")
    assert first == "No supernet is close to your data."
    assert any(line.split()[:2] == ["1", "net-0"] for line in rest)
    assert not any("left out" in line for line in rest)


@pytest.mark.parametrize("close", [True, None])
def test_what_is_close_or_not_known_is_listed(close: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, document(close, 0.85, None))
    assert lines[0].split()[:2] == ["rank", "id"] and "(class-ot)" in "\n".join(lines)
    assert not any("No supernet is close" in line for line in lines)
    assert lines[-1] == "The query took 1.0 s."


def test_the_gain_over_the_probe_stands_in_points(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = shown(capsys, document(True, 0.85, 0.779, None))[:4]
    column = head.split().index("gain")
    cells = [row.replace(" %", "%").split()[column] for row in rows]
    assert cells == ["+5.0", "-2.1", "-"]


def test_without_a_probe_only_what_is_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a sketch, which has no images."""
    show_matches(document(None, None, probe=False))
    text = capsys.readouterr().out
    assert "net-0" in text and "%" not in text and "linear classifier" not in text


def test_an_answer_of_far_matches_keeps_them_in_json(photos: Path, general: tuple[Path, str]) -> None:
    home, id = general
    far, asked = answer("query", photos, "--home", home), answer("query", photos, "--home", home, "--all")
    assert [match["id"] for match in far["matches"]] == [id]
    assert set(far) == set(asked) and far["matches"] == asked["matches"]


def test_a_prediction_stands_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(True, 0.85, None)
    found["matches"][0] |= {"predicted_accuracy": 0.714, "predicted_interval": [0.5, 0.86]}
    text = "\n".join(shown(capsys, found))
    assert "71 % (50–86)" in text and "nine in ten" in text
    assert "nine in ten" not in "\n".join(shown(capsys, document(True, 0.85, None)))
