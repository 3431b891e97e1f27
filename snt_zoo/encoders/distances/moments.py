"""Distances between moments of whole datasets or classes: the simple rivals of transport."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from snt_zoo.encoders.distances.base import DatasetDistance, Measured, Source, register_distance
from snt_zoo.encoders.distances.transports import ROUNDING
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.sketch_format import symmetric_roots
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport.bures import squared_bures_of_pairs
from snt_zoo.encoders.transport.class_level import SPREAD_SCALE, squared_distances


def mean_feature(sketch: Sketch) -> Tensor:
    """Mean of all features, float64 ``64``."""
    return (sketch.frequencies[:, None] * sketch.means.double()).sum(0)


@register_distance("mean-feature")
class MeanFeature(DatasetDistance):
    """One minus the cosine of the mean features."""

    rounding = 1e-7  # the square of a length

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        own = mean_feature(target.sketch)
        theirs = torch.stack([mean_feature(source.sketch) for source in sources])
        return self.plain((1 - cosine_similarity(own[None], theirs, dim=1)).clamp_min(0).tolist())


@register_distance("class-means")
class ClassMeans(DatasetDistance):
    """Root mean squared distance from a class mean to the nearest one of the other side, both ways.

    No class has to give way to another, so that this is no transport: the modified Hausdorff distance
    (Dubuisson and Jain 1994) of the class means, averaged over both directions.
    """

    rounding = ROUNDING

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        return self.plain([_both_ways(target.sketch, source.sketch) for source in sources])


def _both_ways(left: Sketch, right: Sketch) -> float:
    costs = squared_distances(left.means.double(), right.means.double())
    there = (left.frequencies * costs.min(1).values).sum()
    back = (right.frequencies * costs.min(0).values).sum()
    return math.sqrt(float(there + back) / 2)


@register_distance("frechet")
class Frechet(DatasetDistance):
    """W₂ between one Gaussian for each dataset (Heusel et al. 2017, arXiv 1706.08500), labels unseen."""

    rounding = ROUNDING

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        sides = [_gaussian(source.sketch) for source in sources]
        mean, root = _gaussian(target.sketch)
        means = torch.stack([side[0] for side in sides])
        roots = torch.stack([side[1] for side in sides])
        spreads = squared_bures_of_pairs(root.expand_as(roots), roots)
        squared = (means - mean).square().sum(1) + SPREAD_SCALE * spreads
        return self.plain(squared.sqrt().tolist())


def _gaussian(sketch: Sketch) -> tuple[Tensor, Tensor]:
    """Mean ``64`` of all features and root ``32 x 32`` of their covariance, within and between classes."""
    mean = mean_feature(sketch)
    weights = sketch.frequencies[:, None, None]
    apart = (sketch.means.double() - mean)[:, :COVARIANCE_DIM]
    total = (weights * sketch.full_covariances().double()).sum(0)
    total = total + (weights * apart[:, :, None] * apart[:, None, :]).sum(0)
    return mean, symmetric_roots(total)
