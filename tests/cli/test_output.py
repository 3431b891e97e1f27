"""stdout is one document; names from outside are harmless."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from snt_zoo.cli import output
from snt_zoo.cli.output import Names, fields, plain, printable, prints, say, table

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
)

WORDS = st.text("ab_-漢한é", min_size=1, max_size=40)


@given(VALUES)
def test_any_document_becomes_valid_json(value: object) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert plain(json.loads(text)) == json.loads(text)


def test_names_that_are_no_utf8_leave_valid_json() -> None:
    document = {"d\udcb9": ["\udcb9", Path("o\udcb9")]}
    assert plain(document) == {"d\\udcb9": ["\\udcb9", "o\\udcb9"]}


def test_what_is_not_finite_becomes_null() -> None:
    assert plain({"a": [math.nan, (math.inf, 1.5)], "b": Path("x")}) == {"a": [None, [None, 1.5]], "b": "x"}


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


def shown(columns: int | None, show: Callable[..., None], *args: Any, **options: Any) -> list[str]:
    """The lines that a terminal of so many columns gets, or a pipe."""
    env = {} if columns is None else {"COLUMNS": str(columns)}
    with mock.patch.dict(os.environ, env), contextlib.redirect_stdout(io.StringIO()) as out:
        show(*args, **options)
    return out.getvalue().splitlines()


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(1, 120))
def test_names_fit_their_room_and_are_whole(names: list[str], room: int) -> None:
    text = Names(names, "things").within(room)
    assert cell_len(text) <= room
    start, colon, rest = text.rpartition(": ")
    if len(names) == 1:
        assert text == names[0] or text.endswith("…")
    elif colon and room >= len("40: , …") + cell_len(names[0]):
        assert start in (f"{len(names)} things", f"{len(names)}")
        kept = rest.removesuffix(", …").split(", ")
        assert kept == names[: len(kept)]
        assert (len(kept) < len(names)) is rest.endswith(", …")


@given(
    st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1), WORDS, WORDS), min_size=1, max_size=5),
    st.integers(20, 160),
)
def test_a_table_fits_and_leaves_out_whole_columns(
    rows: list[tuple[str, list[str], str, str]], columns: int
) -> None:
    titles = [("id", False), ("sources", False), ("n", True), ("note", False)]
    cells = [(id, Names(sources, "sources"), n, note) for id, sources, n, note in rows]
    head, *lines = shown(columns, table, titles, cells)
    assert len(lines) == len(rows)
    assert max(map(cell_len, lines)) <= max(columns, *(cell_len(id) for id, *_ in rows))
    for line, (id, _, n, note) in zip(lines, rows, strict=True):
        assert line.startswith(id)
        for title, text in (("n", n), ("note", note)):
            assert title not in head.split() or text in line
    piped = shown(None, table, titles, cells, below=1, most=1)
    assert piped[0].split() == ["id", "sources", "n", "note"] and len(piped) == len(rows) + 1


def test_what_stands_below_a_row_is_labelled_and_an_empty_cell_is_not_there() -> None:
    titles = [("id", False), ("what", False), ("done", False)]
    lines = shown(80, table, titles, [("a", "some " * 20, "yes"), ("b", "", "no")], below=2)
    assert [line.split()[0] for line in lines] == ["id", "a", "what", "some", "done", "b", "done"]
    assert shown(80, table, titles, [("a", "x", "y")] * 4, below=2, most=1)[-1].startswith("and 3 more")


@given(st.lists(WORDS, min_size=1), st.integers(30, 120))
def test_prose_is_broken_between_words(words: list[str], columns: int) -> None:
    text = " ".join(words)
    for lines in (shown(columns, say, text), shown(columns, fields, {"name": text})):
        assert " ".join(" ".join(lines).removeprefix("name").split()) == text
        assert all(cell_len(line) <= columns or len(line.removeprefix("name").split()) == 1 for line in lines)
    assert shown(None, say, text) == [text]


def test_fields_leave_out_what_is_empty() -> None:
    assert shown(None, fields, {"a": 0, "b": None, "c": "", "d": Names(())}) == ["a  0"]


@pytest.mark.parametrize(
    "mark", ["\x1b[31m", "\x9b2J", "\u202e", "\u2066", "\u200f", "\u061c", "\r", "\x07", "\udc80"]
)
def test_nothing_that_steers_a_terminal_is_shown(mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In names, titles, dates and values alike, wherever they come from."""
    fields({f"a{mark}b": f"c{mark}d", "names": Names([f"e{mark}f"])})
    table([(f"g{mark}h", False)], [[f"i{mark}j"]])
    say(f"k{mark}l")
    output.note(f"m{mark}n")
    shown = capsys.readouterr()
    for line in (shown.out + shown.err).splitlines():
        assert line.isprintable(), line
