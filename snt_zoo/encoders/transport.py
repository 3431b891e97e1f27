"""Distance between labelled datasets by Optimal Transport between their class Gaussians.

OTDD (Alvarez-Melis and Fusi 2020, arXiv 2002.02923) at its cheapest level: every class is a Gaussian in
feature space with the mass of its frequency, the ground cost between two classes is the squared
2-Wasserstein distance of their Gaussians (Bures-Wasserstein), and the transport is solved exactly. This is
the MW₂ of Delon and Desolneux (2020, arXiv 1907.05254). It needs nothing but two sketches, and its
coupling says which class lies near which.
"""

from __future__ import annotations

from dataclasses import dataclass

import ot
import torch
from torch import Tensor

from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.errors import IndexMismatchError


@dataclass(frozen=True)
class ClassMatch:
    """A class of the target and the class of the source to which most of it is carried.

    Args:
        target: class of the target.
        source_class: class of the source.
        mass: share of the target class that is carried there, from 0 to 1.
        distance: Bures-Wasserstein distance of the two classes.
    """

    target: str
    source_class: str
    mass: float
    distance: float


@dataclass(frozen=True, eq=False)
class Transport:
    """An answer of `class_distance`.

    Args:
        distance: root of the transport cost, ≥ 0.
        coupling: mass carried from class to class, float64 ``K x K'``; rows sum to the target's
            frequencies, columns to the source's.
        costs: squared Bures-Wasserstein distances, float64 ``K x K'``.
        matches: for each class of the target its nearest counterpart, nearest first.
    """

    distance: float
    coupling: Tensor
    costs: Tensor
    matches: tuple[ClassMatch, ...]


def class_distance(target: Sketch, source: Sketch) -> Transport:
    """Exact Optimal Transport between the classes of two sketches.

    Args:
        target: sketch of K classes.
        source: sketch of K' classes, made by the same backbone.

    Returns:
        The distance with its coupling. Symmetric; zero for a sketch and itself.

    Raises:
        IndexMismatchError: the sketches were made by different backbones.
    """
    if target.backbone != source.backbone:
        raise IndexMismatchError(
            f"sketches of different backbones cannot be compared: {target.name!r} was made by "
            f"{target.backbone}, {source.name!r} by {source.backbone}; sketch both with the same one"
        )
    costs = bures_wasserstein(target, source)
    coupling = torch.from_numpy(ot.emd(target.frequencies.numpy(), source.frequencies.numpy(), costs.numpy()))
    total = float((coupling * costs).sum().clamp_min(0))
    return Transport(total**0.5, coupling, costs, _matches(target, source, coupling, costs))


def bures_wasserstein(target: Sketch, source: Sketch) -> Tensor:
    """Squared 2-Wasserstein distances between class Gaussians, float64 ``K x K'``.

    Means live in 64 dimensions, covariances in the first 32 of them: the covariance part is scaled by
    64 / 32, its expectation over projections.
    """
    means = torch.cdist(target.means.double(), source.means.double()).square()
    if target.covariances.dim() == 2 or source.covariances.dim() == 2:
        # Diagonal covariances commute: the distance is that of the standard deviations.
        left = target.full_covariances().diagonal(dim1=1, dim2=2).double().clamp_min(0).sqrt()
        right = source.full_covariances().diagonal(dim1=1, dim2=2).double().clamp_min(0).sqrt()
        spread = torch.cdist(left, right).square()
    else:
        spread = _bures(target.covariances.double(), source.covariances.double())
    return means + spread * (DIM / COVARIANCE_DIM)


def _bures(left: Tensor, right: Tensor) -> Tensor:
    """Squared Bures distances between ``K x d x d`` and ``K' x d x d``: ``K x K'``."""
    values, vectors = torch.linalg.eigh(left)
    root = vectors @ (values.clamp_min(0).sqrt()[..., None] * vectors.mT)
    inner = root[:, None] @ right[None] @ root[:, None]
    # The trace of the square root of a positive matrix is the sum of the roots of its eigenvalues.
    cross = torch.linalg.eigvalsh(inner).clamp_min(0).sqrt().sum(-1)
    traces = values.clamp_min(0).sum(-1)[:, None] + torch.linalg.eigvalsh(right).clamp_min(0).sum(-1)
    out: Tensor = (traces - 2 * cross).clamp_min(0)
    return out


def _matches(target: Sketch, source: Sketch, coupling: Tensor, costs: Tensor) -> tuple[ClassMatch, ...]:
    shares = coupling / coupling.sum(1, keepdim=True)
    matches = [
        ClassMatch(
            target.class_names[row],
            source.class_names[column],
            float(shares[row, column]),
            float(costs[row, column]) ** 0.5,
        )
        for row, column in enumerate(shares.argmax(1).tolist())
    ]
    return tuple(sorted(matches, key=lambda match: match.distance))
