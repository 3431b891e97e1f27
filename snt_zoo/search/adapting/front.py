"""Several networks from one run, small and large: `finetune --pareto`. That is what a supernet is for.

Which networks there are is chosen by `snt_zoo.search.adapting.front_choice`, and they are trained by
`snt_zoo.search.adapting.front_training`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snt_zoo.errors import LatencyTableError
from snt_zoo.networks.ensemble import members
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.latency.table import LatencyTable


@dataclass(frozen=True, eq=False)
class Point:
    """A network of a front.

    Args:
        model: it, in eval mode on the CPU.
        accuracy: ``{"val": …, "test": …}``, from 0 to 1.
        params: its weights.
        macs: its multiply-accumulates for one image.
        steps: accuracies on validation on the way, as of `FinetuneResult`.
        returned: what it is, likewise.
        latency: seconds for one image, as a table predicts them; None where none knows it.
    """

    model: Model
    accuracy: Mapping[str, float]
    params: int
    macs: int
    steps: Mapping[str, float]
    returned: str = "derived"
    latency: float | None = None

    def timed(self, table: LatencyTable) -> Point:
        """With its latency, if the table knows its networks."""
        try:
            seconds = sum(table.predict(each.config, each.genotype) for each in members(self.model))
        except LatencyTableError:
            return self
        return replace(self, latency=seconds)

    def facts(self) -> dict[str, Any]:
        """Plain data, without the weights."""
        return {
            "returned": self.returned,
            "accuracy": dict(self.accuracy),
            "params": self.params,
            "macs": self.macs,
            "latency": self.latency,
            "input_sizes": [each.config.input_size for each in members(self.model)],
            "steps": dict(self.steps),
        }


@dataclass(frozen=True, eq=False)
class Front:
    """What a run with `pareto` came to.

    Args:
        points: networks that no other one beats on validation at its cost or below, by multiply-accumulates.
        dominated: the others that were trained.
        compared: multiply-accumulates and validation accuracy of those that were compared with inherited
            weights.
    """

    points: tuple[Point, ...]
    dominated: tuple[Point, ...] = ()
    compared: tuple[tuple[int, float], ...] = ()

    @property
    def networks(self) -> list[tuple[Point, bool]]:
        """All that were trained, by multiply-accumulates, and whether another dominates each."""
        both = [(point, False) for point in self.points] + [(point, True) for point in self.dominated]
        return sorted(both, key=lambda each: each[0].macs)

    @classmethod
    def of(cls, points: Sequence[Point], compared: Sequence[tuple[int, float]] = ()) -> Front:
        """Points parted by whether another dominates them."""
        kept = non_dominated([(point.accuracy["val"], point.macs) for point in points])
        others = [point for index, point in enumerate(points) if index not in kept]
        return cls(tuple(points[index] for index in kept), tuple(others), tuple(compared))

    def joined_by(self, point: Point) -> Front:
        """With another point."""
        return Front.of([*self.points, *self.dominated, point], self.compared)

    def timed(self, table: LatencyTable) -> Front:
        """With latencies."""
        points, others = (tuple(one.timed(table) for one in each) for each in (self.points, self.dominated))
        return replace(self, points=points, dominated=others)


def non_dominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of some points no other is as good as in both and better in one.

    Args:
        points: accuracy and cost of each.

    Returns:
        Their places, by cost; of equal points the first.
    """
    best, kept = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][1], -points[i][0], i)):
        if points[index][0] > best:
            best = points[index][0]
            kept.append(index)
    return kept
