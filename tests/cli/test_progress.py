from __future__ import annotations

import io
import sys

import pytest

from snt_zoo.cli.progress import epoch_line, epochs, stages
from snt_zoo.search.run import EpochRecord


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


def test_stages_move_a_bar_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def run() -> None:
        with stages("opening") as (tell, move):
            tell("sketch [of 3]")
            move(128, 512)
            tell("heads")
            move(3, 3)

    run()
    assert capsys.readouterr() == ("", "")  # stderr is no terminal
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run()
    assert "heads" in terminal.getvalue() and "3/3" in terminal.getvalue()
    assert capsys.readouterr().out == ""
