"""A sketch: what a query needs to know of a dataset, at most 200 KB, without any image.

Per-class means, covariances and counts of projected backbone features, a few sampled features and the
class names. It is made in one bounded pass over the training split. Which images are looked at depends on
their content and the seed alone, so the order of the images and of the classes changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE, Backbone, get_backbone
from snt_zoo.encoders.bounds import NAME_BYTES, SIZE_LIMIT
from snt_zoo.encoders.kept_features import OnProgress, features_of, silent
from snt_zoo.encoders.projection import DIM, PROJECTION_ID, project
from snt_zoo.encoders.shrinkage import class_covariances, class_means
from snt_zoo.encoders.sketch_format import (
    COVARIANCE_DIM,
    FULL_COVARIANCES,
    MAX_CLASSES,
    Roots,
    pack,
    pack_meta,
    symmetric_roots,
    unpack,
    upper_triangles,
)

__all__ = [
    "COVARIANCE_DIM",
    "FULL_COVARIANCES",
    "MAX_CLASSES",
    "Sample",
    "Sketch",
    "sketch",
]

MAX_IMAGES = 512
MAX_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class Sketch:
    """Statistics of a labelled dataset in a fixed feature space.

    Args:
        name: of the dataset.
        backbone: id of the backbone, and of the projection, that made the features.
        class_names: K names.
        counts: images of each class in the training split, int64 ``K``.
        means: float32 ``K x 64``.
        covariances: float32 ``K x 32 x 32``, or variances ``K x 32``; of the first 32 features, shrunk (see
            `shrinkage`). Once in a file, those of more than 96 classes share one shape.
        samples: some projected features, float32 ``m x 64``.
        sample_labels: their classes, int64 ``m``.
    """

    name: str
    backbone: str
    class_names: tuple[str, ...]
    counts: Tensor
    means: Tensor
    covariances: Tensor
    samples: Tensor
    sample_labels: Tensor

    @cached_property
    def frequencies(self) -> Tensor:
        """Class frequencies, float64 ``K``, sum 1."""
        counts = self.counts.double()
        return counts / counts.sum()

    def full_covariances(self) -> Tensor:
        """Covariances as matrices, ``K x 32 x 32``, also where only variances were kept."""
        return self.covariances if self.covariances.dim() == 3 else self.covariances.diag_embed()

    @cached_property
    def stored_roots(self) -> Roots:
        """Square roots of the covariances as a file holds them; computed once if they came from none."""
        return Roots.of(self.covariances)

    @cached_property
    def _computed_roots(self) -> Tensor:
        return symmetric_roots(self.full_covariances().double())

    @property
    def roots(self) -> Tensor:
        """Symmetric square roots of the covariances, float64 ``K x 32 x 32``."""
        return self._computed_roots

    @property
    def triangles(self) -> Tensor:
        """Their upper triangles, float64 ``K x 528``."""
        return upper_triangles(self.roots)

    @cached_property
    def traces(self) -> Tensor:
        """Traces of the covariances, the squared norms of the roots, float64 ``K``; computed once."""
        return self.roots.square().sum((1, 2))

    def to_tensors(self) -> dict[str, Tensor]:
        """Tensors for a safetensors file; see `sketch_format`."""
        return pack(
            counts=self.counts,
            means=self.means,
            roots=self.stored_roots,
            samples=self.samples,
            sample_labels=self.sample_labels,
        )

    def to_meta(self) -> str:
        """Names and ids as JSON, for the metadata of the same file."""
        return pack_meta(self.name, self.backbone, self.class_names)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], meta: str) -> Sketch:
        """The inverse of `to_tensors` and `to_meta`; trusts neither, and reads format 1 as well.

        Raises:
            TensorError: a tensor is missing, of a wrong shape or type, not finite or out of range.
            ConfigError: the metadata is not what `to_meta` gives.
        """
        fields, roots = unpack(tensors, meta)
        return cls(**fields) if roots is None else _StoredSketch.of(fields, roots)


class _StoredSketch(Sketch):
    """A sketch with the roots of a file. Whoever keeps thousands keeps these alone: covariances and roots as
    matrices, of ten times the size, are computed whenever they are asked for."""

    @classmethod
    def of(cls, fields: Mapping[str, Any], roots: Roots) -> Sketch:
        """Of the fields but for the covariances."""
        made = cls(**fields, covariances=roots.packed)
        del vars(made)["covariances"]
        vars(made)["stored_roots"] = roots
        return made

    @property
    def roots(self) -> Tensor:
        return self.stored_roots.matrices().double()

    @property
    def triangles(self) -> Tensor:
        return self.stored_roots.triangles()

    def __getattr__(self, name: str) -> Any:  # of a field, for which there can be no property
        if name != "covariances":
            raise AttributeError(name)
        matrices = self.stored_roots.matrices()
        return matrices @ matrices


@dataclass(frozen=True, eq=False)
class Sample:
    """The images that a sketch is made of, as the backbone sees them; get one with `Sample.of`.

    Args:
        backbone: that saw them.
        indices: into the training split, int64 ``n``; grouped by class and in an order by content.
        features: float32 ``n x dim``, all that the backbone gives.
        labels: of the dataset, int64 ``n``.
        pace: seconds that an image took, reading included, when the features were computed.
    """

    backbone: Backbone
    indices: Tensor
    features: Tensor
    labels: Tensor
    pace: float = 0.0

    @classmethod
    def of(
        cls,
        dataset: ImageDataset,
        backbone: str | Backbone = DEFAULT_BACKBONE,
        *,
        seed: int = 0,
        timer: Callable[[], float] = time.perf_counter,
        on_progress: OnProgress = silent,
    ) -> Sample:
        """Run a backbone over some training images of a dataset, or take what it gave the last time.

        Args:
            dataset: the labelled images.
            backbone: a backbone or its name.
            seed: decides, with the images' content, which of them are taken.
            timer: what counts seconds.
            on_progress: called with the number of images that were seen.
        """
        network = get_backbone(backbone) if isinstance(backbone, str) else backbone
        split = dataset.train
        counts = torch.bincount(split.labels, minlength=dataset.num_classes)
        # The most frequent classes; of equals the ones with the smaller label.
        kept = counts.argsort(descending=True, stable=True)[:MAX_CLASSES].sort().values
        kept = kept[counts[kept] > 0]
        quota = max(2, MAX_IMAGES // len(kept))
        indices = torch.cat([_chosen(dataset, int(label), quota, seed) for label in kept])
        part = split.subset(indices)
        features, pace = features_of(network, part, dataset.rendering, timer=timer, on_progress=on_progress)
        return cls(network, indices, features, part.labels, pace)

    def projected(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a sketch is made of.

        Returns:
            Features, float32 ``n x 64``, grouped by class and in an order by content; their labels, int64
            ``n``, from 0 to k - 1; and the dataset's labels that these stand for, int64 ``k``.
        """
        kept, labels = torch.unique(self.labels, return_inverse=True)
        return project(self.features), labels, kept


def sketch(
    dataset: ImageDataset,
    *,
    backbone: str | Backbone = DEFAULT_BACKBONE,
    seed: int = 0,
    sample: Sample | None = None,
) -> Sketch:
    """Sketch a dataset's training split.

    Args:
        dataset: the labelled images.
        backbone: a backbone or its name.
        seed: decides, with the images' content, which of them are looked at.
        sample: of the dataset, if there is one already; backbone and seed are then its.

    Returns:
        The sketch; the same for any order of the images.

    Example:
        >>> from snt_zoo import open_dataset
        >>> sketch(open_dataset("sklearn:digits")).means.shape
        torch.Size([10, 64])
    """
    sample = Sample.of(dataset, backbone, seed=seed) if sample is None else sample
    features, labels, kept = sample.projected()
    return sketch_features(
        features,
        labels,
        name=dataset.name,
        backbone=f"{sample.backbone.id}/{PROJECTION_ID}",
        class_names=[dataset.class_names[int(label)] for label in kept],
        counts=torch.bincount(dataset.train.labels, minlength=dataset.num_classes)[kept],
    )


def sketch_features(
    features: Tensor,
    labels: Tensor,
    *,
    name: str,
    backbone: str,
    class_names: Sequence[str],
    counts: Tensor,
) -> Sketch:
    """The sketch of projected features; see `Sample.projected` and the fields of `Sketch`."""
    k = len(counts)
    wide = features.double()  # the order in which images are summed must not show in float16
    made = Sketch(
        name=name,
        backbone=backbone,
        class_names=_shorten(class_names),
        counts=counts,
        means=class_means(wide, labels, k).float(),
        covariances=class_covariances(wide[:, :COVARIANCE_DIM], labels, k).float(),
        samples=torch.empty(0, DIM),
        sample_labels=torch.empty(0, dtype=torch.int64),
    )
    samples, sample_labels = _samples(made, features, labels)
    # As a reader of the file will see it: rounded to float16.
    full = replace(made, samples=samples, sample_labels=sample_labels)
    return Sketch.from_tensors(full.to_tensors(), full.to_meta())


def _chosen(dataset: ImageDataset, label: int, quota: int, seed: int) -> Tensor:
    members = (dataset.train.labels == label).nonzero().flatten()
    # Neither the order of the images nor the label decides who is looked at.
    return dataset.train.by_content(members, seed=seed)[:quota]


def _samples(made: Sketch, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As many of the features, evenly over the classes, as the size limit leaves room for."""
    used = sum(t.numel() * t.element_size() for t in made.to_tensors().values())
    overhead = 1024 + 2 * len(made.to_meta().encode())  # the file's header; quotes are escaped in it
    room = max(0, (SIZE_LIMIT - used - overhead) // (2 * DIM + 2))
    count = min(MAX_SAMPLES, room, len(features))
    # Images come grouped by class and, within one, in an order by content: taken round by round.
    seen: dict[int, int] = {}
    ranks = []
    for label in labels.tolist():
        ranks.append(seen.get(label, 0))
        seen[label] = ranks[-1] + 1
    order = torch.tensor(ranks).argsort(stable=True)[:count].sort().values
    return features[order], labels[order]


def _shorten(names: Sequence[str]) -> tuple[str, ...]:
    longest = max(4, NAME_BYTES // max(len(names), 1) // 4)  # a character has up to four bytes
    return tuple(name if len(name) <= longest else name[: longest - 1] + "…" for name in names)
