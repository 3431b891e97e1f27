"""`snt-zoo list`, `show`, `add`, `remove`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import snt_zoo

from .conftest import CLASSES, answer, invoke, reason


def test_list_show_remove_add(pretrained: tuple[Path, Any], tmp_path: Path) -> None:
    original, made = pretrained
    home = tmp_path / "home"
    shutil.copytree(original, home)
    (row,) = answer("list", "--home", home)
    assert row["id"] == made["id"]
    assert made["id"] in invoke("list", "--home", home).stdout
    assert answer("list", "--home", home, "--tag", "small") == [row]
    assert answer("list", "--home", home, "--max-params", 1) == []

    shown = answer("show", "tiny", "--home", home)
    assert shown.items() >= row.items()
    assert shown["config"]["class_names"] == list(CLASSES)
    for text in (made["id"], *CLASSES, "nas_bench_201"):
        assert text in invoke("show", made["id"], "--home", home).stdout

    assert "--yes" in reason(invoke("remove", "tiny", "--home", home), 2)
    assert answer("remove", "tiny", "--yes", "--home", home) == {"removed": made["id"]}
    assert answer("list", "--home", home) == []
    assert "add" in invoke("list", "--home", home).stderr
    reason(invoke("remove", "tiny", "--yes", "--home", home))
    reason(invoke("show", "tiny", "--home", home))

    assert answer("add", made["out"], "--home", home)["id"] == made["id"]
    assert "already" in reason(invoke("add", made["out"], "--home", home))
    reason(invoke("add", tmp_path, "--home", home))


def test_remove_asks_on_a_terminal(
    pretrained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(pretrained[0], home)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
    for says, left in (("n\n", 1), ("y\n", 0)):
        from click.testing import CliRunner

        from snt_zoo.cli.main import main

        CliRunner().invoke(main, ["remove", "tiny", "--home", str(home)], input=says)
        assert len(snt_zoo.Zoo.open(home).list()) == left


def test_a_list_is_filtered(own: tuple[Path, str]) -> None:
    home, id = own
    row = answer("list", "--home", home)[0]
    accuracy = row["test_accuracy"]
    kept = (
        ("--tag", "small"), ("--source", "photos"), ("--source", "phot*"),
        ("--licence", row["licence"].upper()),
        ("--min-accuracy", accuracy), ("--max-size", row["size"]), ("--name", "tiny"),
        ("--metric", f"test_accuracy>={accuracy}", "--metric", "test_accuracy<=1"),
    )  # fmt: skip
    dropped = (
        ("--tag", "big"), ("--source", "other"), ("--licence", "no"), ("--max-size", row["size"] - 1),
        ("--name", "x"), ("--metric", f"test_accuracy>={accuracy + 0.01}"), ("--metric", "nothing>=0"),
    )  # fmt: skip
    for options in kept:
        assert [r["id"] for r in answer("list", *options, "--home", home)] == [id], options
    for options in dropped:
        assert answer("list", *options, "--home", home) == [], options
    for wrong in ("accuracy", "a>1", "a>=x", "a>=1.2.3"):
        assert "val_accuracy>=0.8" in reason(invoke("list", "--metric", wrong, "--home", home), 2)
