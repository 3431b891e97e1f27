"""Means over targets that a benchmark reports, rounded, and their bootstrap intervals."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

RESAMPLES = 10_000


def mean(values: Iterable[float]) -> float:
    """To four digits."""
    return round(statistics.fmean(values), 4)


def share(values: Iterable[bool]) -> float:
    """Of those that are true, from 0 to 1."""
    return mean(float(value) for value in values)


def geomean(by_target: Mapping[str, Mapping[str, Any]], name: str) -> float:
    """Of the targets' geometric means."""
    logs = [statistics.fmean(math.log(r) for r in of[name]) for of in by_target.values()]
    return round(math.exp(statistics.fmean(logs)), 2)


def geometric_interval(by_target: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, float]:
    """`geomean` and its bootstrap interval of 95 %, targets drawn with replacement."""
    logs = [statistics.fmean(math.log(r) for r in of[name]) for of in by_target.values()]
    return {key: round(math.exp(value), 2) for key, value in interval(logs).items()}


def interval(gains: Sequence[float]) -> dict[str, float]:
    """The mean over targets and its bootstrap interval of 95 %, targets drawn with replacement."""
    chance = random.Random(0)
    means = sorted(statistics.fmean(chance.choices(gains, k=len(gains))) for _ in range(RESAMPLES))
    low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    return {"mean": round(statistics.fmean(gains), 4), "low": round(low, 4), "high": round(high, 4)}
