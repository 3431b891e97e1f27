"""stdout is one document; names from outside are harmless."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.cli.output import plain, printable, prints, table
from snt_zoo.cli.progress import epoch_line, epochs
from snt_zoo.search.run import EpochRecord

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_any_document_becomes_valid_json(value: object) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert plain(json.loads(text)) == json.loads(text)


def test_what_is_not_finite_becomes_null() -> None:
    assert plain({"a": [math.nan, (math.inf, 1.5)], "b": Path("x")}) == {
        "a": [None, [None, 1.5]],
        "b": "x",
    }


@given(st.text())
def test_printable_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1


def test_what_a_library_prints_goes_to_stderr() -> None:
    @click.command()
    @prints(lambda document: click.echo("shown"))
    def chatty() -> dict[str, int]:
        print("noise")  # noqa: T201
        sys.stdout.write("more noise\n")
        return {"a": 1}

    as_json, for_people = (CliRunner().invoke(chatty, args) for args in (["--json"], []))
    assert json.loads(as_json.stdout) == {"a": 1}
    assert for_people.stdout == "shown\n"
    assert as_json.stderr == for_people.stderr == "noise\nmore noise\n"


def test_a_table_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table([("name", False), ("n", True)], [("[red]a[/red] :smile:", "1"), ("x\x1b[31my\nz", "2")])
    shown = capsys.readouterr().out
    assert "[red]a[/red] :smile:" in shown
    assert "x\\x1b[31my" in shown
    assert "\x1b" not in shown


def test_epochs_are_lines_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    records = [EpochRecord("head", 0, 0.5, 0.25), EpochRecord("search", 1, 2.0, 0.5, 1.25, 0.9)]
    with epochs(seconds=10) as tell:
        for record in records:
            tell(record)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [epoch_line(record) for record in records]
    assert "loss" not in epoch_line(records[0])


@pytest.mark.parametrize("options", [{"seconds": 4.0}, {"count": 2}, {}])
def test_epochs_move_a_bar_on_a_terminal(
    options: dict[str, float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    record = EpochRecord("search", 0, 2.0, 0.5, 1.25, 0.9)
    with epochs(**options) as tell:  # type: ignore[arg-type]
        tell(record)
    assert epoch_line(record) in terminal.getvalue()
    assert capsys.readouterr().out == ""
