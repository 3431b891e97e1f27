"""What moves on a terminal: the bar of a run, a spinner, and with both how far images are decoded.

They ask how far it is whenever they are drawn, so that nothing has to tell them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

LONG = 2.0  # seconds
"""Decoding that is done sooner is not shown."""


class Bars(Progress):
    """The bar of a run, and below it one of the images that are decoded meanwhile.

    Args:
        console: on which they are drawn.
        total: of the run.
    """

    run, _decoding = TaskID(0), TaskID(1)
    _since: float | None = None

    def __init__(self, console: Console, total: float | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
        super().__init__(*columns, TimeElapsedColumn(), console=console, transient=True)
        self.add_task("starting", total=total, count="")
        self.add_task("decoding", visible=False, count="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """See `Progress`."""
        if self._decoding in self.task_ids:  # it is drawn before there are tasks as well
            self._look(*_decoded())
        return super().get_renderables()

    def _look(self, ready: int, wanted: int) -> None:
        if not wanted:
            self._since = None
        elif self._since is None:
            self._since = self.get_time()
            self.reset(self._decoding, visible=False)
        shown = self._since is not None and self.get_time() - self._since >= LONG
        count = f"{ready:,} of {wanted:,} images"
        self.update(self._decoding, completed=ready, total=wanted, count=count, visible=shown)


class Said:
    """What a spinner says."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich__(self) -> Text:
        ready, wanted = _decoded()
        return Text(self._text + (f", {ready:,} of {wanted:,} images decoded" if wanted else ""))


def _decoded() -> tuple[int, int]:
    """`in_progress`; its module loads torch, and nothing is decoded before somebody needed it."""
    module = sys.modules.get("snt_zoo.data.decoded")
    return (0, 0) if module is None else module.in_progress()
