"""Times one thing over and over. Imports nothing but numpy: an engine is measured alone in its process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_WARM_RUNS, _WARM_SHARE = 3, 0.2
_LEAST_RUNS = 20


@dataclass(frozen=True)
class Timing:
    """Times of one run, in seconds.

    Args:
        runs: that were measured.
        p50, p90, p99: percentiles of the wall clock.
        processor: mean time of all threads: more than the wall clock where several work, less where
            the machine was busy with something else.
    """

    runs: int
    p50: float
    p90: float
    p99: float
    processor: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def timed(run: Callable[[], object], *, seconds: float) -> Timing:
    """Run something for a time, after it was warmed up for a fifth of that.

    Args:
        run: what is measured.
        seconds: that this may take; at least twenty runs are made.
    """
    end = time.perf_counter() + _WARM_SHARE * seconds
    for count in range(10**9):
        run()
        if count >= _WARM_RUNS - 1 and time.perf_counter() > end:
            break
    collecting = gc.isenabled()
    gc.disable()
    try:
        times: list[float] = []
        spent, began = time.process_time(), time.perf_counter()
        while len(times) < _LEAST_RUNS or time.perf_counter() - began < (1 - _WARM_SHARE) * seconds:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        spent = time.process_time() - spent
    finally:
        if collecting:
            gc.enable()
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    return Timing(len(times), p50, p90, p99, spent / len(times))
