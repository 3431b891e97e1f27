"""Where output goes: data to stdout, once and at the end; everything else to stderr.

A command returns its answer as a plain document. The shared decorator prints it, as JSON or for people,
and sends whatever a library prints meanwhile to stderr. What people see fits their terminal: the least
important columns and the last names are left out. JSON has everything.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import click

from snt_zoo.errors import SntZooWarning

DEBUG = "snt_zoo.debug"
"""Key in click's `meta`: whether tracebacks are wanted."""
RESUME = "snt_zoo.resume"
"""Key in click's `meta`: a function that says how an interrupted run goes on, or gives nothing."""

EXIT = "snt_zoo.exit"
"""Key in click's `meta`: the exit code of a command whose answer is that something is wrong."""

_UNLIMITED = sys.maxsize
_GAP = "  "
_INDENT = 6  # of what stands below a row
_LEAST, _MOST = 24, 80  # columns that names get: at least `30: font_latin_upper, …`


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


def note_warnings() -> None:
    """Let the package's warnings be notes; those of libraries stay as Python prints them."""
    others = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, SntZooWarning):
            note(f"warning: {message}")
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show


@dataclass(frozen=True)
class Names:
    """Names on one line: their number, and as many of them as there is room for.

    Args:
        items: the names.
        kind: what they are, in the plural; without it their number is not told.
    """

    items: Sequence[str]
    kind: str = ""

    def within(self, room: int) -> str:
        """At most so many columns wide: `30 sources: font_thai, font_telugu, …`."""
        from rich.cells import set_cell_size

        names, room = [printable(name) for name in self.items], min(room, _MOST)
        ends = list(accumulate(_wide(name) + len(", ") for name in names))
        counted = len(names) > 1 and self.kind
        starts = (f"{len(names)} {self.kind}: ", f"{len(names)}: ") if counted else ("",)
        for start in starts:
            left = room - _wide(start)
            if not ends or ends[-1] - len(", ") <= left:
                return start + ", ".join(names)
            if fitting := sum(end + len("…") <= left for end in ends):
                return f"{start}{', '.join(names[:fitting])}, …"
        return set_cell_size(starts[-1] + names[0], max(room - 1, 0)) + "…"


def table(
    columns: Sequence[tuple[str, bool]],
    rows: Sequence[Sequence[str | Names]],
    *,
    keep: int = 1,
    below: int = 0,
    most: int | None = None,
) -> None:
    """Print a table on stdout: on a terminal what fits of it, elsewhere all of it with one line a row.

    Args:
        columns: title, and whether it holds numbers; the most important first.
        rows: cells; a text is shown whole or not at all, of names as many as fit.
        keep: how many columns stay even if they do not fit.
        below: how many of the last columns stand below the row on a terminal, each on lines of its own.
        most: how many rows a terminal shows.
    """
    if _width() == _UNLIMITED:
        below, most = 0, None
    hidden, rows = rows[most:] if most is not None else (), rows[:most]
    front = columns[: len(columns) - below]
    least, whole = (
        [
            max(map(_wide, (title, *(_text(row[i], room) for row in rows))))
            for i, (title, _) in enumerate(front)
        ]
        for room in (_LEAST, _UNLIMITED)
    )
    left, widths = _width() + len(_GAP), dict[int, int]()
    for i, wide in enumerate(least):
        if i < keep or wide + len(_GAP) <= left:
            widths[i] = wide
            left -= wide + len(_GAP)
    for i in widths:
        more = min(whole[i] - widths[i], max(left, 0))
        widths[i] += more
        left -= more

    def line(cells: Sequence[str | Names]) -> str:
        texts = ((_text(cells[i], wide), wide, front[i][1]) for i, wide in widths.items())
        return _GAP.join(_padded(text, wide, right=number) for text, wide, number in texts).rstrip()

    click.secho(line([title for title, _ in columns]), bold=True)
    for row in rows:
        click.echo(line(row))
        under = zip(columns[len(front) :], row[len(front) :], strict=True)
        fields({title: cell for (title, _), cell in under}, indent=_INDENT)
    if hidden:
        click.echo(f"and {len(hidden):,} more; --json has them all")


def fields(rows: Mapping[str, object], *, indent: int = 0) -> None:
    """Print names and values on stdout, aligned, and without those that are empty."""
    filled = {printable(name): value for name, value in rows.items() if _text(value, _UNLIMITED)}
    width = max(map(_wide, filled), default=0)
    start = indent + width + len(_GAP)
    for name, value in filled.items():
        room = _width() - start
        lines = [value.within(room)] if isinstance(value, Names) else _broken(printable(value), room)
        click.echo(f"{' ' * indent}{_padded(name, width)}{_GAP}{lines[0]}")
        for line in lines[1:]:
            click.echo(" " * start + line)


def say(text: str) -> None:
    """Print sentences on stdout, on a terminal broken between words."""
    for line in _broken(printable(text), _width()):
        click.echo(line)


def minute(time: str) -> str:
    """A time in ISO 8601 for people: `2026-11-28 03:44`."""
    return time[:16].replace("T", " ")


def percent(share: float | None) -> str:
    """A share from 0 to 1 for people."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _width() -> int:
    """Columns of the terminal; a file or a pipe has no limit unless COLUMNS is set, as `watch` does."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return _UNLIMITED


def _wide(text: str) -> int:
    """Columns that a text takes; a Chinese character takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def _text(value: object, room: int) -> str:
    if isinstance(value, Names):
        return value.within(room)
    return "" if value is None else printable(value)


def _padded(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - _wide(text))
    return space + text if right else text + space


def _broken(text: str, room: int) -> list[str]:
    """Lines of a text, broken between words; a longer word stays whole, as it may be a path to copy."""
    if _wide(text) <= room:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        lines[-1:] = [longer] if not lines[-1] or _wide(longer) <= room else [lines[-1], word]
    return lines
