"""Where output goes: data to stdout, once and at the end; everything else to stderr.

A command returns its answer as a plain document. The shared decorator prints it, as JSON or for people,
so that both show the same, and sends whatever a library prints meanwhile to stderr.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

DEBUG = "snt_zoo.debug"
"""Key in click's `meta`: whether tracebacks are wanted."""
RESUME = "snt_zoo.resume"
"""Key in click's `meta`: a function that says how an interrupted run goes on, or gives nothing."""

EXIT = "snt_zoo.exit"
"""Key in click's `meta`: the exit code of a command whose answer is that something is wrong."""

_PIPED_WIDTH = 200  # a table that goes to a file or a pipe is not cut at 80 columns


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[DEBUG] = value


def prints(show: Callable[[Any], None]) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give a command `--json` and `--debug`, and print the document that it returns.

    Args:
        show: prints the document for people, on stdout.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
        @click.option(
            "--debug",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            envvar="SNT_ZOO_DEBUG",
            callback=_set_debug,
            help="Show the traceback of an error (or SNT_ZOO_DEBUG=1).",
        )
        @functools.wraps(function)
        def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
            with contextlib.redirect_stdout(sys.stderr):
                document = function(*args, **kwargs)
            if not is_first_process():
                return
            if as_json:
                click.echo(json.dumps(plain(document), indent=2, allow_nan=False))
            else:
                show(document)
            context = click.get_current_context()
            if code := context.meta.get(EXIT, 0):
                context.exit(code)

        return command

    return decorate


def plain(value: Any) -> Any:
    """A value as JSON can hold it: a number that is not finite becomes null, a path a string."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def printable(text: object) -> str:
    """A text on one line, without characters that would steer a terminal: names come from outside."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(text).split()))


def is_first_process() -> bool:
    """Whether this process speaks: of several that `torchrun` started one does."""
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or os.environ.get("RANK", "0") == "0"


def note(text: str) -> None:
    """A line for people, on stderr."""
    if is_first_process():
        click.echo(printable(text), err=True)


def table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout.

    Args:
        columns: title, and whether it holds numbers.
        rows: cells; line breaks in them are kept.
    """
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, numbers in columns:
        grid.add_column(title, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    for row in rows:
        grid.add_row(*("\n".join(map(printable, cell.split("\n"))) for cell in row))
    _console().print(grid)


def fields(rows: Mapping[str, object]) -> None:
    """Print names and values on stdout, aligned."""
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {printable(value)}")


def percent(share: float | None) -> str:
    """A share from 0 to 1 for people."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _console() -> Console:
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else _PIPED_WIDTH, markup=False, emoji=False, highlight=False)
