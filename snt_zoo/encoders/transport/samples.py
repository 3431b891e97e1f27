"""Labelled samples with the Gaussians of their classes: one side of a distance between samples.

What a distance needs of one side alone is computed once and kept: factors of the covariances, and the
entropic term of the side with itself. So a zoo is prepared once, and a query pays for the pair only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snt_zoo.encoders.shrinkage import class_means
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport.bures import squared_bures
from snt_zoo.encoders.transport.class_level import SPREAD_SCALE, squared_distances
from snt_zoo.errors import TensorError


@dataclass(frozen=True, eq=False)
class LabelledSamples:
    """Samples of a dataset, and the Gaussians of its classes.

    Make them with `of_sketch` or `of_features`.

    Args:
        space: what made the features; samples of different spaces are not compared.
        class_names: K names.
        features: float64 ``n x d``.
        labels: int64 ``n``.
        masses: float64 ``n``, sum 1.
        class_means: float64 ``K x d``.
        factors: float64 ``K x r x e``; a class's covariance, of the first e features, is ``factorᵀ factor``.
        factor_rows: int64 ``K``, how many rows of each factor are not padding.
        spread_scale: what squared Bures distances are multiplied by.
    """

    space: str
    class_names: tuple[str, ...]
    features: Tensor
    labels: Tensor
    masses: Tensor
    class_means: Tensor
    factors: Tensor
    factor_rows: Tensor
    spread_scale: float = 1.0
    _self_terms: dict[tuple[float, ...], float] = field(default_factory=dict, repr=False)

    @classmethod
    def of_sketch(cls, sketch: Sketch, *, samples: int | None = None) -> LabelledSamples:
        """The samples and the class Gaussians that a sketch holds.

        A class's samples share its frequency. A class without a sample, in a sketch of many classes, is
        represented by its mean.

        Args:
            sketch: of a dataset.
            samples: at most so many, the first of each class; all by default.
        """
        labels, features = sketch.sample_labels, sketch.samples.double()
        if samples is not None and samples < len(labels):
            kept = _first_of_each(labels, samples)
            labels, features = labels[kept], features[kept]
        k = len(sketch.class_names)
        missing = (torch.bincount(labels, minlength=k) == 0).nonzero().flatten()
        labels = torch.cat([labels, missing])
        features = torch.cat([features, sketch.means.double()[missing]])
        counts = torch.bincount(labels, minlength=k)
        return cls(
            space=sketch.backbone,
            class_names=sketch.class_names,
            features=features,
            labels=labels,
            masses=(sketch.frequencies / counts)[labels],
            class_means=sketch.means.double(),
            factors=sketch.roots,
            factor_rows=torch.full((k,), sketch.roots.shape[1]),
            spread_scale=SPREAD_SCALE,
        )

    @classmethod
    def of_features(
        cls,
        features: Tensor,
        labels: Tensor,
        *,
        class_names: Sequence[str] | None = None,
        space: str = "features",
    ) -> LabelledSamples:
        """Samples of equal mass, with the means and unbiased covariances of their own classes.

        As in the paper's experiments nothing is shrunk. A class with one sample has no spread.

        Args:
            features: ``n x d``.
            labels: int64 ``n``, from 0 to K - 1; each class at least once.
            class_names: K names; by default the numbers.
            space: what made the features.

        Raises:
            TensorError: no sample, a class without one, or shapes that do not fit.
        """
        if features.dim() != 2 or len(features) == 0 or labels.shape != features.shape[:1]:
            raise TensorError(
                f"expected features n x d and labels n with n ≥ 1, got {tuple(features.shape)} and "
                f"{tuple(labels.shape)}"
            )
        counts = torch.bincount(labels)
        if bool((counts == 0).any()) or (class_names is not None and len(class_names) != len(counts)):
            raise TensorError(
                f"expected labels 0 to K - 1, each at least once, and K class names; got {counts.tolist()} "
                "samples of each: renumber the labels"
            )
        wide = features.double()
        k, dim = len(counts), wide.shape[1]
        means = class_means(wide, labels, k)
        height = min(int(counts.max()), dim)
        factors = wide.new_zeros(k, height, dim)
        for label in range(k):
            own = wide[labels == label] - means[label]
            own = own / max(len(own) - 1, 1) ** 0.5
            own = torch.linalg.qr(own, mode="r").R if len(own) > dim else own
            factors[label, : len(own)] = own
        return cls(
            space=space,
            class_names=tuple(class_names or map(str, range(k))),
            features=wide,
            labels=labels,
            masses=torch.full((len(labels),), 1 / len(labels), dtype=torch.float64),
            class_means=means,
            factors=factors,
            factor_rows=counts.clamp_max(height),
        )

    @property
    def frequencies(self) -> Tensor:
        """Mass of each class, float64 ``K``."""
        return self.masses.new_zeros(len(self.class_names)).index_add_(0, self.labels, self.masses)

    def class_costs(self, other: LabelledSamples, *, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """The two parts of the squared W₂ between class Gaussians, means and spreads, each ``K x K'``."""
        means = squared_distances(self.class_means.to(device), other.class_means.to(device))
        spreads = squared_bures(
            self.factors.to(device),
            other.factors.to(device),
            left_rows=self.factor_rows.to(device),
            right_rows=other.factor_rows.to(device),
        )
        return means, self.spread_scale * spreads

    def by_class(self, plan: Tensor, other: LabelledSamples) -> Tensor:
        """A plan between samples ``n x m``, added up to classes ``K x K'``."""
        rows = plan.new_zeros(len(self.class_names), plan.shape[1]).index_add_(0, self.labels, plan)
        return plan.new_zeros(len(self.class_names), len(other.class_names)).index_add_(1, other.labels, rows)


def _first_of_each(labels: Tensor, count: int) -> Tensor:
    """Places of `count` samples, taken from the classes in turn."""
    order = torch.argsort(labels, stable=True)
    sizes = torch.bincount(labels)
    rank = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[order]]
    return order[torch.argsort(rank, stable=True)[:count]].sort().values
