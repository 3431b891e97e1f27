"""Progress on stderr: a spinner while one waits, a line for each epoch, a bar on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from snt_zoo.cli.output import is_first_process, percent, printable

if TYPE_CHECKING:
    from rich.console import Console

    from snt_zoo.search.run import EpochRecord

Tell = Callable[[str], None]
Move = Callable[[int, int], None]


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Tell]:
    """A spinner with a text, on a terminal; yields what changes the text."""
    if not is_first_process() or not sys.stderr.isatty():
        yield lambda text: None
        return
    from snt_zoo.cli.bars import Said

    with _console().status(Said(printable(text))) as status:
        yield lambda text: status.update(Said(printable(text)))


@contextlib.contextmanager
def stages(text: str) -> Iterator[tuple[Tell, Move]]:
    """As `waiting`, with a bar; yields what begins a stage, and what says how much of it is done."""
    if not is_first_process() or not sys.stderr.isatty():
        yield (lambda text: None), (lambda done, total: None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    named = TextColumn("{task.description}", markup=False)
    columns = SpinnerColumn(), named, BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=_console(), transient=True) as progress:
        task = progress.add_task(printable(text), total=None)

        def tell(text: str) -> None:
            nonlocal task
            progress.remove_task(task)  # a new one, as the total of a task cannot be forgotten
            task = progress.add_task(printable(text), total=None)

        yield tell, lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def epochs(
    *, seconds: float | None = None, count: int | None = None
) -> Iterator[Callable[[EpochRecord], None]]:
    """Yields what is called with each epoch's record: it prints a line, and on a terminal moves a bar.

    Args:
        seconds: the budget, if it is in time.
        count: the number of epochs, if that is known.
    """
    if not is_first_process():
        yield lambda record: None
        return
    if not sys.stderr.isatty():
        yield lambda record: click.echo(epoch_line(record), err=True)
        return
    from snt_zoo.cli.bars import Bars

    with Bars(_console(), seconds if count is None else count) as bars:
        trained = 0

        def tell(record: EpochRecord) -> None:
            nonlocal trained
            trained += record.stage not in ("probe", "head", "race")  # a head is fitted in no epoch
            done = trained if seconds is None else min(record.seconds, seconds)
            bars.console.print(epoch_line(record))
            bars.update(bars.run, completed=done, description=record.stage)

        yield tell


def epoch_line(record: EpochRecord) -> str:
    """An epoch on one line."""
    loss = "" if record.loss is None else f"  loss {record.loss:.3f}"
    accuracy = percent(record.val_accuracy)
    who = "" if record.who is None else f"  {record.who}"
    return f"{record.stage:<8} {record.epoch:>4}  {record.seconds:>8.1f} s  val {accuracy:>7}{loss}{who}"
