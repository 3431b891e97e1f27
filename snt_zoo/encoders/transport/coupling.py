"""What a transport between two labelled datasets answers: a distance, and which class lies near which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

Level = Literal["exact", "entropic", "class"]
"""How a distance was computed: between samples, exactly or with entropy, or between class Gaussians."""


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
    """An answer of `class_distance` or `dataset_distance`.

    Args:
        distance: root of the transport cost, ≥ 0.
        coupling: mass carried from class to class, float64 ``K x K'``; rows sum to the target's
            frequencies, columns to the source's.
        costs: squared Bures-Wasserstein distances of the classes, float64 ``K x K'``; in a batch's answers
            upper bounds, by a few per cent of the covariance part, for pairs that carry little or nothing.
        level: how the distance was computed.
        parts: what the transport plan costs, by part: `means` and `spreads` of the classes, or `features` and
            `labels` of the samples. They add up to the squared distance, except for the entropic level,
            whose distance also holds the entropy and the terms that remove its bias.
        target_classes: K names.
        source_classes: K' names.
    """

    distance: float
    coupling: Tensor
    costs: Tensor
    level: Level
    parts: Mapping[str, float]
    target_classes: tuple[str, ...]
    source_classes: tuple[str, ...]

    @cached_property
    def matches(self) -> tuple[ClassMatch, ...]:
        """For each class of the target its counterpart, nearest first."""
        shares = self.coupling / self.coupling.sum(1, keepdim=True)
        masses, columns = shares.max(1)
        distances = self.costs.gather(1, columns[:, None]).flatten().clamp_min(0).sqrt()
        rows = zip(self.target_classes, columns.tolist(), masses.tolist(), distances.tolist(), strict=True)
        matches = [ClassMatch(name, self.source_classes[c], mass, far) for name, c, mass, far in rows]
        return tuple(sorted(matches, key=lambda match: match.distance))
