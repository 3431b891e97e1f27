"""`snt-zoo list`, `show`, `add`, `remove`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
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


def test_a_spoilt_supernet_is_shown_as_the_catalog_knows_it(
    pretrained: tuple[Path, Any], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(pretrained[0], home)
    (row,) = answer("list", "--home", home)
    config = Path(row["path"]) / "config.json"
    for content in (b"{}", b"\xff", None):
        config.unlink()
        if content is not None:
            config.write_bytes(content)
        (tmp_path / "home" / "origins.json").write_text("no JSON")
        assert answer("list", "--home", home) == [row]
        shown = answer("show", "tiny", "--home", home)
        assert shown == row | {"origin": None, "config": None}
        told = invoke("show", "tiny", "--home", home)
        assert row["id"] in told.stdout and "warning: left out what" in told.stderr


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


@pytest.mark.parametrize("columns", [80, 120])
def test_a_generalist_fits_the_terminal(columns: int, general: tuple[Path, str]) -> None:
    home, id = general
    lines = invoke("list", "--home", home, columns=columns).stdout.splitlines()
    assert len(lines) == 2 and re.match(rf"{id}  30( sources)?: font_latin_upper, …  ", lines[1])
    assert lines[0].split()[:4] == ["id", "sources", "params", "accuracy"]
    shown = invoke("show", id, "--home", home, columns=columns).stdout.splitlines()
    assert "30 sources: font_latin_upper, " in "\n".join(shown) and id in shown[0]
    assert shown[-1] == "and 20 more; --json has them all"
    folder = answer("show", id, "--home", home)["path"]
    assert max(len(line) for line in lines + shown if folder not in line) <= columns
    assert sum(folder in line for line in shown) == 1  # whole, as it may be copied


def test_a_pipe_has_every_column_and_every_source(general: tuple[Path, str]) -> None:
    home, id = general
    head, row = invoke("list", "--home", home).stdout.splitlines()
    assert head.split() == ["id", "sources", "params", "accuracy", "MACs", "space", "tags", "aliases"]
    assert row.split()[-1] == "latest"
    shown = invoke("show", id, "--home", home).stdout
    for source in answer("show", id, "--home", home)["config"]["training"]["datasets"]:
        (line,) = (line for line in shown.splitlines() if source["fingerprint"] in line)
        assert line.startswith(f"{source['name']} ") and source["licence"] in line


def test_a_real_terminal_is_asked_for_its_width(general: tuple[Path, str]) -> None:
    terminal, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    args = ("show", general[1], "--home", str(general[0]))
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-m", "tests.cli.unseeded", *args], stdout=child, env=env) as run:
        os.close(child)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux tells that the other side has been closed
            while part := os.read(terminal, 4096):
                shown += part
        os.close(terminal)
        assert run.wait(60) == 0
    lines = re.sub(r"\x1b\[\d*m", "", shown.decode()).splitlines()
    assert any(50 < len(line) <= 60 for line in lines)
    assert max(len(line) for line in lines if str(general[0]) not in line) <= 60
