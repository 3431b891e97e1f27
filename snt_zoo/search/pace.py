"""How much slower a machine has become, by the steps of a training.

What must follow a training is timed before it begins. Other work on the machine comes and goes meanwhile, and
then everything takes so many times as long as the steps do.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable

STEPS = 4
"""Whose median stands for the pace of a time: no single step decides, as one that records a CUDA graph."""


class Pace:
    """The pace of a training: between `begin` and `end` lies a step.

    Args:
        seconds: the clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=STEPS)
        self._began: float | None = None

    def begin(self) -> None:
        """A step begins."""
        self._began = self._seconds()

    def end(self) -> None:
        """The step that has begun is over, if there is one."""
        if self._began is None:
            return
        took, self._began = self._seconds() - self._began, None
        self._latest.append(took)
        if len(self._first) < STEPS:
            self._first.append(took)

    @property
    def slowdown(self) -> float:
        """How many times as long as the first steps the latest ones took; at least 1."""
        if len(self._first) < STEPS:
            return 1.0
        return max(statistics.median(self._latest) / max(statistics.median(self._first), 1e-9), 1.0)
