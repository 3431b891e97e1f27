"""Distance between labelled datasets by Optimal Transport between their class Gaussians.

OTDD (Alvarez-Melis and Fusi 2020, arXiv 2002.02923) at its cheapest level: every class is a Gaussian in
feature space with the mass of its frequency, the ground cost between two classes is the squared
2-Wasserstein distance of their Gaussians (Bures-Wasserstein), and the transport is solved exactly. This is
the MW₂ of Delon and Desolneux (2020, arXiv 1907.05254). It needs nothing but two sketches, and its
coupling says which class lies near which.

A batch, one target against many sources, decides the plan by the square-root distance of the covariances,
one matrix product for all pairs of classes, and evaluates the Bures distance only where the plan has 70 % of
the cost of spreads: about a twentieth of the pairs. What it answers is an upper bound of the exact distance;
how close is a row of `python -m benchmarks.distance`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.sketch_format import inner_products, symmetric
from snt_zoo.encoders.transport.bures import (
    square_root_distances,
    squared_bures,
    squared_bures_of_pairs,
)
from snt_zoo.encoders.transport.coupling import Transport
from snt_zoo.encoders.transport.solver import best_plan
from snt_zoo.errors import IndexMismatchError

SPREAD_SCALE = DIM / COVARIANCE_DIM
"""Means live in 64 dimensions, covariances in the first 32 of them: the covariance part is scaled to its
expectation over projections."""

EXACT_PAIRS = 10_000
"""Up to so many pairs of classes the Bures distance of each is computed, in about 0.4 s."""

_ROOT_EXCESS = 1.045  # square-root over Bures distance: 1.03 to 1.07 between datasets of the collection
_COVERED = 0.7  # the share of the cost of spreads for which the Bures distance is computed
_EQUAL = 1e-3  # more than a ranking takes for equal, of a distance and of 1


class _Side(Protocol):
    """A sketch, or labelled samples."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def frequencies(self) -> Tensor: ...


def class_distance(target: Sketch, source: Sketch, *, device: torch.device | str = "cpu") -> Transport:
    """Exact Optimal Transport between the classes of two sketches.

    Above 10,000 pairs of classes the plan is decided as in `class_distances`.

    Args:
        target: sketch of K classes.
        source: sketch of K' classes, made by the same backbone.
        device: where costs are computed.

    Returns:
        The distance with its coupling. Symmetric; zero for a sketch and itself.

    Raises:
        IndexMismatchError: the sketches were made by different backbones.
    """
    if len(target.class_names) * len(source.class_names) > EXACT_PAIRS:
        return class_distances(target, [source], device=device)[0]
    check_comparable(target, source)
    means, spreads = _ground_costs(target, source, device=device)
    return between_classes(target, source, means, spreads)


def class_distances(
    target: Sketch,
    sources: Sequence[Sketch],
    *,
    device: torch.device | str = "cpu",
    nearest: int | None = None,
    owners: Sequence[str] | None = None,
) -> list[Transport]:
    """One target against many sources, in a batch; see the module's docstring for how it is decided.

    Args:
        target: sketch of K classes.
        sources: sketches made by the same backbone; square roots that they hold are used as they are.
        device: where costs are computed; the transport problems are solved on the CPU.
        nearest: so many are wanted. Whoever is farther, by a lower bound, is told by an estimate that is
            farther too; the answers of the others are the same as without.
        owners: whose each source is, where it is owners that are wanted; by default each its own.

    Returns:
        One answer for each source, in order.

    Raises:
        IndexMismatchError: a sketch was made by another backbone.
    """
    for source in sources:
        check_comparable(target, source)
    if not sources:
        return []
    # A zoo of generalists holds the sketch of a dataset many times, once read it is one object.
    distinct = list(dict.fromkeys(sources))
    ends = list(itertools.accumulate(len(source.class_names) for source in distinct))
    starts = [0, *ends[:-1]]
    columns = [slice(*each) for each in zip(starts, ends, strict=True)]
    roots, triangles = target.triangles, torch.cat([source.triangles for source in distinct])
    inner = inner_products(roots, triangles)
    means, spreads = _bounds(target, distinct, inner, device=device)
    costs = means + spreads / _ROOT_EXCESS
    own = target.frequencies.numpy()
    pairs = list(zip(distinct, columns, strict=True))
    plan = np.concatenate(
        [best_plan(own, each.frequencies.numpy(), costs[:, part]) for each, part in pairs], 1
    )
    batch = _Batch(roots, triangles, plan, means, spreads, np.array(starts), device)
    if nearest is None:
        batch.tighten(np.arange(len(distinct)))
    else:
        place = {source: number for number, source in enumerate(distinct)}
        batch.tighten_nearest(nearest, np.array([place[each] for each in sources]), owners)
    costs = means + spreads
    by_part = [batch.carried(part).tolist() for part in (means, spreads)]
    answers = {
        source: Transport(
            distance=(mean + spread) ** 0.5,
            coupling=torch.from_numpy(plan[:, part]),
            costs=torch.from_numpy(costs[:, part]),
            level="class",
            parts={"means": mean, "spreads": spread},
            target_classes=target.class_names,
            source_classes=source.class_names,
        )
        for source, part, mean, spread in zip(distinct, columns, *by_part, strict=True)
    }
    return [answers[source] for source in sources]


def bures_wasserstein(target: Sketch, source: Sketch, *, device: torch.device | str = "cpu") -> Tensor:
    """Squared 2-Wasserstein distances between class Gaussians, float64 ``K x K'``."""
    means, spreads = _ground_costs(target, source, device=device)
    return means + spreads


def check_comparable(target: Sketch, source: Sketch) -> None:
    """Refuse sketches of different backbones."""
    if target.backbone != source.backbone:
        raise IndexMismatchError(
            f"sketches of different backbones cannot be compared: {target.name!r} was made by "
            f"{target.backbone}, {source.name!r} by {source.backbone}; sketch both with the same one"
        )


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Squared Euclidean distances, ``n x d`` and ``m x d`` to ``n x m``, by one matrix product."""
    inner = left @ right.mT
    return (left.square().sum(1)[:, None] + right.square().sum(1) - 2 * inner).clamp_min(0)


def exact_plan(left: Tensor, right: Tensor, costs: Tensor) -> Tensor:
    """An optimal plan, float64 ``n x m``, by the network simplex (Bonneel et al. 2011).

    Args:
        left: masses ``n``, sum 1.
        right: masses ``m``, sum 1.
        costs: float64 ``n x m``.
    """
    return torch.from_numpy(best_plan(left.numpy(), right.numpy(), costs.numpy()))


def _bounds(
    target: Sketch, sources: Sequence[Sketch], inner: Tensor, *, device: torch.device | str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared distances of the means of all pairs of classes, and those of the roots, scaled; `inner` are
    products of the roots, ``K x n``."""
    all_means = torch.cat([source.means for source in sources]).to(device).double()
    means = squared_distances(target.means.to(device).double(), all_means)
    traces = torch.cat([source.traces for source in sources]).to(device)
    spreads = (
        (target.traces.to(device)[:, None] + traces - 2 * inner.to(device)).clamp_min_(0).mul_(SPREAD_SCALE)
    )
    return means.cpu().numpy(), spreads.cpu().numpy()


class _Batch:
    """Plans of a target to some sources side by side, and the costs of spreads, which are made tighter.

    Args:
        own: triangles of the roots of the target's classes, float64 ``K x 528``.
        triangles: likewise of all sources' classes, ``n x 528``.
        plan: float64 ``K x`` classes of all sources.
        means, spreads: costs, likewise; `spreads` are bounds, and changed in place.
        starts: int64, column at which each source begins.
        device: where Bures distances are computed.
    """

    def __init__(
        self,
        own: Tensor,
        triangles: Tensor,
        plan: NDArray[np.float64],
        means: NDArray[np.float64],
        spreads: NDArray[np.float64],
        starts: NDArray[np.int64],
        device: torch.device | str,
    ) -> None:
        self._own, self._triangles, self._device = own, triangles, device
        self._plan, self._means, self._spreads, self._starts = plan, means, spreads, starts
        number = np.repeat(np.arange(len(starts)), np.diff(starts, append=plan.shape[1]))
        self._rows, self._columns = _dearest(plan * spreads, number, _COVERED)
        self._number = number[self._columns]

    def carried(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the plan of each source costs."""
        found: NDArray[np.float64] = np.add.reduceat((self._plan * costs).sum(0), self._starts)
        return found

    def tighten(self, chosen: NDArray[np.int64]) -> None:
        """Put Bures distances in the place of bounds where the plans of these sources cost most."""
        wanted = np.isin(self._number, chosen)
        rows, columns = self._rows[wanted], self._columns[wanted]
        if not len(rows):
            return
        # In float32: a rounding error of 1e-6, far below that of the bound, at half of the time.
        left = symmetric(self._own[torch.from_numpy(rows)].float()).to(self._device)
        right = symmetric(self._triangles[torch.from_numpy(columns)].float()).to(self._device)
        exact = squared_bures_of_pairs(left, right)
        # It is below the bound but for rounding; so equal classes are at zero.
        tight = SPREAD_SCALE * exact.cpu().double().numpy()
        self._spreads[rows, columns] = np.minimum(tight, self._spreads[rows, columns])

    def tighten_nearest(self, count: int, given: NDArray[np.int64], owners: Sequence[str] | None) -> None:
        """The same for the sources that can be among the nearest, and an estimate for the others.

        A Bures distance is at least half of the bound: of unit traces the fidelity F and the affinity A of
        two matrices hold F² ≤ A ≤ F, so 2 - 2A ≤ 2 (2 - 2F), and unequal traces only add to the right side.
        """
        dearest = np.zeros_like(self._spreads)
        dearest[self._rows, self._columns] = 0.5 * self._spreads[self._rows, self._columns]
        floor = self.carried(self._means + self._spreads - dearest)
        of_owner = given if owners is None else np.unique(np.array(owners), return_inverse=True)[1]

        def limit(squared: NDArray[np.float64]) -> float:
            """The largest of the `count` smallest, of each owner the smallest."""
            best = np.full(of_owner.max() + 1, np.inf)
            np.minimum.at(best, of_owner, squared[given])
            return float(np.sort(best)[min(count, len(np.unique(of_owner))) - 1])

        first = floor <= limit(floor)
        self.tighten(first.nonzero()[0])
        reached = limit(np.where(first, self.carried(self._means + self._spreads), np.inf)) ** 0.5
        more = (floor <= (reached + _EQUAL + _EQUAL * reached) ** 2) & ~first
        self.tighten(more.nonzero()[0])
        left = ~(first | more)[self._number]
        self._spreads[self._rows[left], self._columns[left]] /= _ROOT_EXCESS


def _dearest(
    costs: NDArray[np.float64], group: NDArray[np.int64], share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the largest entries that have this share of the sum of their group of columns, by
    group."""
    rows, columns = costs.nonzero()
    found = costs[rows, columns]
    order = np.lexsort((-found, group[columns]))
    rows, columns, found = rows[order], columns[order], found[order]
    before = found.cumsum() - found
    first = np.searchsorted(group[columns], np.arange(group[-1] + 1))
    sums = np.bincount(group[columns], found, group[-1] + 1)
    own = group[columns]
    kept = before - before[first[own]] < share * sums[own]
    return rows[kept], columns[kept]


def _ground_costs(target: Sketch, source: Sketch, *, device: torch.device | str) -> tuple[Tensor, Tensor]:
    means = squared_distances(target.means.to(device).double(), source.means.to(device).double())
    own, theirs = target.roots.to(device), source.roots.to(device)
    spreads = torch.minimum(squared_bures(own, theirs), square_root_distances(own, theirs))
    return means.cpu(), SPREAD_SCALE * spreads.cpu()


def between_classes(
    target: _Side, source: _Side, means: Tensor, spreads: Tensor, plan: Tensor | None = None
) -> Transport:
    """The answer at the class level.

    Args:
        target: K classes.
        source: K' classes.
        means: the part of the costs that means have, ``K x K'``.
        spreads: that of covariances, likewise.
        plan: what is carried, ``K x K'``; the best plan if not given.
    """
    coupling = exact_plan(target.frequencies, source.frequencies, means + spreads) if plan is None else plan
    parts = {"means": float((coupling * means).sum()), "spreads": float((coupling * spreads).sum())}
    return Transport(
        distance=sum(parts.values()) ** 0.5,
        coupling=coupling,
        costs=means + spreads,
        level="class",
        parts=parts,
        target_classes=target.class_names,
        source_classes=source.class_names,
    )
