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

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.transport.bures import (
    square_root_distances,
    squared_bures,
    squared_bures_of_pairs,
)
from snt_zoo.encoders.transport.coupling import Transport
from snt_zoo.encoders.transport.solver import emd
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
    sizes = [len(source.class_names) for source in sources]
    own, theirs = target.roots.to(device), torch.cat([source.roots for source in sources]).to(device)
    all_means = torch.cat([source.means for source in sources]).to(device).double()
    means = squared_distances(target.means.to(device).double(), all_means).cpu()
    traces = torch.cat([source.traces for source in sources]).to(device)
    spreads = square_root_distances(
        own, theirs, left_traces=target.traces.to(device), right_traces=traces
    ).cpu()
    spreads *= SPREAD_SCALE
    plans, worth = [], []
    for source, mean, bound in zip(
        sources, torch.split(means, sizes, 1), torch.split(spreads, sizes, 1), strict=True
    ):
        plans.append(exact_plan(target.frequencies, source.frequencies, mean + bound / _ROOT_EXCESS))
        worth.append(_dearest(plans[-1] * bound, _COVERED))
    rows, columns = torch.cat(worth, 1).nonzero(as_tuple=True)
    # In float32: a rounding error of 1e-6, far below that of the bound, at half of the time.
    pairs = rows.to(device), columns.to(device)
    exact = SPREAD_SCALE * squared_bures_of_pairs(own.float(), theirs.float(), pairs=pairs).cpu().double()
    # It is below the bound but for rounding; so equal classes are at zero.
    spreads[rows, columns] = torch.minimum(exact, spreads[rows, columns])
    return [
        between_classes(target, source, mean, spread, plan)
        for source, plan, mean, spread in zip(
            sources, plans, torch.split(means, sizes, 1), torch.split(spreads, sizes, 1), strict=True
        )
    ]


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
    # Masses sum to 1 by construction and duals are not read: checking one and centring the other takes
    # longer than solving a small problem.
    found = emd(
        left.numpy(),
        right.numpy(),
        costs.numpy(),
        numItermax=10_000_000,
        check_marginals=False,
        center_dual=False,
    )
    return torch.from_numpy(found)


def _dearest(costs: Tensor, share: float) -> Tensor:
    """Marks the largest entries that have this share of the sum, as a mask of the same shape."""
    ordered, places = costs.flatten().sort(descending=True)
    before = ordered.cumsum(0) - ordered
    mask = torch.zeros(costs.numel(), dtype=torch.bool)
    mask[places[(before < share * ordered.sum()) & (ordered > 0)]] = True
    return mask.view(costs.shape)


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
