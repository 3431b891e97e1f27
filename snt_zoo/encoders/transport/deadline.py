"""A point in time after which a computation gives up."""

from __future__ import annotations

import time
from dataclasses import dataclass

from snt_zoo.errors import TimeLimitError


@dataclass(frozen=True)
class Deadline:
    """When to give up.

    Args:
        at: on `time.monotonic`'s clock; infinity for never.
    """

    at: float = float("inf")

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """That many seconds from now; never if None."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds that are left, below 0 when it has passed."""
        return self.at - time.monotonic()

    def check(self, what: str) -> None:
        """Raise `TimeLimitError` if it has passed."""
        if self.left() < 0:
            raise TimeLimitError(
                f"{what} did not end within its time: give it more, take fewer samples or a cheaper level"
            )
