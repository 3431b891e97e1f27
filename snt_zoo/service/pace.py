"""How many requests one client may make: a bucket of them that fills again at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10.0
"""Seconds of the rate that may be used at once: a page asks for a few things together."""

_CLIENTS = 10_000  # whose buckets are kept; who is beyond them begins with a full one


class Pace:
    """The buckets of all clients.

    Args:
        rate: requests in a second, in the long run; None for any number.
        clock: counts seconds.
    """

    def __init__(self, rate: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether a client may make a request now, which is then counted."""
        if self._rate is None:
            return True
        most, now = max(1.0, BURST * self._rate), self._clock()
        left, at = self._buckets.pop(client, (most, now))
        left = min(most, left + (now - at) * self._rate)
        allowed = left >= 1.0
        self._buckets[client] = (left - allowed, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return allowed
