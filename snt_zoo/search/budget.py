"""Budgets of a run, in seconds or in epochs, and the clock that measures them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from snt_zoo.errors import BudgetError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PATTERN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Budget:
    """How long a run may take: seconds of wall clock, or a number of epochs, never both.

    A run with a budget in epochs repeats to the bit; one in seconds depends on the machine.

    Args:
        seconds: wall-clock time for the whole run.
        epochs: epochs of search, and as many of training the derived network.

    Example:
        >>> Budget.parse("1m30s").seconds
        90.0
    """

    seconds: float | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.epochs is None):
            raise BudgetError("give a budget either in time (budget='10m') or in epochs (epochs=20)")
        if self.seconds is not None and not 1 <= self.seconds < float("inf"):
            raise BudgetError(f"a budget must be at least one second, got {self.seconds:g} s")
        if self.epochs is not None and self.epochs < 1:
            raise BudgetError(f"a budget must be at least one epoch, got {self.epochs}")

    @classmethod
    def parse(cls, text: str | float) -> Budget:
        """Read `90`, `"90s"`, `"10m"`, `"1h30m"` as seconds of wall clock.

        Raises:
            BudgetError: the text is of no such form.
        """
        if isinstance(text, str):
            found = _PATTERN.fullmatch(text.strip().lower())
            if not text.strip() or found is None:
                raise BudgetError(f"cannot read the budget {text!r}: write it as 90s, 10m or 1h30m")
            parts = zip(found.groups(), _UNITS.values(), strict=True)
            return cls(seconds=sum(float(number or 0) * unit for number, unit in parts))
        return cls(seconds=float(text))

    @classmethod
    def of(cls, time: str | float | None, epochs: int | None, *, default: str | Budget) -> Budget:
        """The budget that a caller gave in time or in epochs, or else the default.

        Raises:
            BudgetError: both were given, or one that cannot be read.
        """
        if time is not None and epochs is not None:
            raise BudgetError("give a budget in time or in epochs, not both")
        if epochs is not None:
            return cls(epochs=epochs)
        if time is not None:
            return cls.parse(time)
        return default if isinstance(default, Budget) else cls.parse(default)

    def __str__(self) -> str:
        return f"{self.seconds:g} s" if self.seconds is not None else f"{self.epochs} epochs"


class Clock:
    """Seconds since the start of a run, counting what ran before an interruption.

    Args:
        elapsed: seconds that the run had taken when it was interrupted.
        timer: what counts seconds: wall clock, or `time.process_time` for a benchmark that shall not
            depend on what else the machine does.
    """

    def __init__(self, elapsed: float = 0.0, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer = timer
        self._start = timer() - elapsed

    def seconds(self) -> float:
        """Seconds since the start."""
        return self._timer() - self._start
