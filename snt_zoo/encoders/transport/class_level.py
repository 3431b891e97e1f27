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
    target: Sketch, sources: Sequence[Sketch], *, device: torch.device | str = "cpu"
) -> list[Transport]:
    """One target against many sources, in a batch; see the module's docstring for how it is decided.

    Args:
        target: sketch of K classes.
        sources: sketches made by the same backbone; square roots that they hold are used as they are.
        device: where costs are computed; the transport problems are solved on the CPU.

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
    means, spreads = _bounds(target, distinct, device=device)
    costs = means + spreads / _ROOT_EXCESS
    own = target.frequencies.numpy()
    pairs = list(zip(distinct, columns, strict=True))
    plan = np.concatenate(
        [best_plan(own, each.frequencies.numpy(), costs[:, part]) for each, part in pairs], 1
    )
    _tighten(spreads, plan, target, distinct, device=device)
    costs = means + spreads
    by_part = [np.add.reduceat((plan * part).sum(0), starts).tolist() for part in (means, spreads)]
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
    target: Sketch, sources: Sequence[Sketch], *, device: torch.device | str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared distances of the means of all pairs of classes, and those of the roots, scaled."""
    all_means = torch.cat([source.means for source in sources]).to(device).double()
    means = squared_distances(target.means.to(device).double(), all_means)
    flat = target.roots.to(device).flatten(1)
    inner = torch.cat([flat @ source.roots.to(device).flatten(1).mT for source in sources], 1)
    traces = torch.cat([source.traces for source in sources]).to(device)
    spreads = (target.traces.to(device)[:, None] + traces - 2 * inner).clamp_min_(0).mul_(SPREAD_SCALE)
    return means.cpu().numpy(), spreads.cpu().numpy()


def _tighten(
    spreads: NDArray[np.float64],
    plan: NDArray[np.float64],
    target: Sketch,
    sources: Sequence[Sketch],
    *,
    device: torch.device | str,
) -> None:
    """Put Bures distances in the place of bounds where a plan has most of the cost of spreads."""
    sizes = [len(source.class_names) for source in sources]
    number = np.repeat(np.arange(len(sizes)), sizes)
    rows, columns = _dearest(plan * spreads, number, _COVERED)
    starts = np.cumsum(sizes) - sizes
    right = [
        source.roots[torch.from_numpy(columns[number[columns] == each] - starts[each])]
        for each, source in enumerate(sources)
    ]
    left = target.roots[torch.from_numpy(rows)]
    # In float32: a rounding error of 1e-6, far below that of the bound, at half of the time.
    exact = squared_bures_of_pairs(left.to(device).float(), torch.cat(right).to(device).float())
    # It is below the bound but for rounding; so equal classes are at zero.
    tight = SPREAD_SCALE * exact.cpu().double().numpy()
    spreads[rows, columns] = np.minimum(tight, spreads[rows, columns])


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
