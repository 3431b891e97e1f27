"""A linear probe: logistic regression on the features of a frozen backbone.

What a user would try first, and what a network that the zoo hands back is measured against: on photographs
the features of ImageNet are hard to beat in minutes on a few cores. It is nearly free, since a sketch has run
the backbone over up to 512 images already; those features are taken as they are, at full width (those that
the sketch keeps are projected to 64 dimensions, which costs a probe much).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Split
from snt_zoo.encoders.backbone import Backbone
from snt_zoo.encoders.kept_features import OnProgress, silent
from snt_zoo.encoders.sketch import Sample
from snt_zoo.networks.logistic import LogisticRegressions

MAX_IMAGES = 5000
"""Training and validation images, each, that a probe looks at by default."""

STRENGTHS = (0.3, 0.1, 0.03, 0.01)
"""Penalties on the squared weights, for a mean loss on standardised features, strongest first."""

_ITERATIONS = 100
_TOLERANCE = 1e-3
_CHUNK = 128
_FEATURES_SHARE = 0.7  # of a limit in seconds; the rest is for the regressions


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier on a backbone's features.

    Args:
        backbone: id of the backbone.
        weight: for the features as they come, float32 ``K x dim``.
        bias: float32 ``K``.
        val_accuracy: share of the validation images that it names, from 0 to 1.
        strength: the penalty that did best on them.
        images: training images that it was fitted to.
        seconds: that it took, features included where they were not there already.
        others: on other backbones or at other sizes, which answer with it, by the mean of all
            log-probabilities. Its accuracy and seconds are then those of all.
    """

    backbone: str
    weight: Tensor
    bias: Tensor
    val_accuracy: float
    strength: float
    images: int
    seconds: float
    others: tuple[Probe, ...] = ()

    @property
    def members(self) -> tuple[Probe, ...]:
        """Itself, and those that answer with it."""
        return (self, *self.others)

    def logits(self, features: Tensor) -> Tensor:
        """Features ``n x dim`` to logits ``n x K``, of this one alone."""
        return torch.nn.functional.linear(features, self.weight, self.bias)

    def with_others(self, others: Sequence[Probe], features: Sequence[Tensor], labels: Tensor) -> Probe:
        """This probe and others, which answer together.

        Args:
            others: for the same classes.
            features: of the validation images, for it and for each of the others, ``n x dim``.
            labels: of these images, int64 ``n``.
        """
        if not others:
            return self
        together = replace(
            self, others=tuple(others), seconds=self.seconds + sum(each.seconds for each in others)
        )
        right = together.together(features).argmax(1) == labels
        return replace(together, val_accuracy=int(right.sum()) / max(len(labels), 1))

    def together(self, features: Sequence[Tensor]) -> Tensor:
        """The answer of all members, ``n x K``, by the features that each sees, ``n x dim``."""
        if not self.others:
            return self.logits(features[0])
        answers = [
            each.logits(seen).log_softmax(1) for each, seen in zip(self.members, features, strict=True)
        ]
        return torch.stack(answers).mean(0)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {
            "backbone": " + ".join(each.backbone for each in self.members),
            "val_accuracy": self.val_accuracy,
            "images": self.images,
            "seconds": self.seconds,
        }


def fit_probe(
    data: ImageDataset,
    sample: Sample,
    *,
    max_images: int = MAX_IMAGES,
    max_val: int = MAX_IMAGES,
    seconds: float | None = None,
    seed: int = 0,
    timer: Callable[[], float] = time.perf_counter,
    on_progress: OnProgress = silent,
) -> Probe:
    """Fit a probe to a dataset's training split; the validation split chooses the penalty.

    Args:
        data: the labelled images.
        sample: features of some of its training images (`Sample.of`), with which the probe begins.
        max_images: most training images; more than were drawn are drawn at random.
        max_val: most validation images, evenly spaced.
        seconds: no more images, and no more penalties, are looked at after this time; the images that were
            drawn and one penalty always are. A probe with such a limit depends on the machine.
        seed: of the images that are drawn besides.
        timer: what counts seconds.
        on_progress: called with the number of validation images that were seen.

    Returns:
        The probe; of penalties that do equally well the strongest.

    Example:
        >>> from snt_zoo import open_dataset
        >>> from snt_zoo.encoders.sketch import Sample
        >>> data = open_dataset("sklearn:digits")
        >>> fit_probe(data, Sample.of(data), max_val=100).weight.shape
        torch.Size([10, 1280])
    """
    growing = GrowingProbe(data, sample, max_val=max_val, seed=seed, timer=timer, on_progress=on_progress)
    return growing.fit(max_images=max_images, seconds=seconds)


class GrowingProbe:
    """A probe that can be fitted to few images first and to more later; no image is looked at twice.

    Args:
        data: the labelled images.
        sample: as of `fit_probe`, and so are the others.
    """

    def __init__(
        self,
        data: ImageDataset,
        sample: Sample,
        *,
        max_val: int = MAX_IMAGES,
        seed: int = 0,
        timer: Callable[[], float] = time.perf_counter,
        on_progress: OnProgress = silent,
    ) -> None:
        self.data = data
        self.sample = sample
        self.timer = timer
        self.on_progress = on_progress
        self.val = data.val.thinned(max_val)
        self._features, self._labels = [sample.features], [sample.labels]
        self._others = _others(data.train, sample, seed)
        self.pace = 0.0
        """Seconds that the backbone takes for an image, reading included, once `val_features` are there."""
        self._seconds = 0.0

    @property
    def images(self) -> int:
        """Training images that were looked at."""
        return sum(map(len, self._labels))

    @functools.cached_property
    def val_features(self) -> Tensor:
        """Features of `val`, the validation images that are asked, ``n x dim``."""
        start = self.timer()
        parts = []
        for part in _parts(self.val):
            parts.append(_features(self.sample.backbone, part))
            self.on_progress(sum(map(len, parts)), len(self.val))
        self.pace = (self.timer() - start) / max(len(self.val), 1)
        return torch.cat(parts)

    @property
    def complete(self) -> bool:
        """Whether no training image is left to look at."""
        return not len(self._others)

    def fit(self, *, max_images: int = MAX_IMAGES, seconds: float | None = None) -> Probe:
        """Look at more images, and fit the probe to all that were looked at.

        Args:
            max_images: training images in all.
            seconds: of this call, as of `fit_probe`.
        """
        start = self.timer()

        def spent(share: float) -> bool:
            return seconds is not None and self.timer() - start >= share * seconds

        val_features = self.val_features
        while (room := min(_CHUNK, max_images - self.images)) > 0 and len(self._others):
            if spent(_FEATURES_SHARE):
                break
            part = self.data.train.subset(self._others[:room])
            self._others = self._others[room:]
            self._features.append(_features(self.sample.backbone, part))
            self._labels.append(part.labels)
        x, y = torch.cat(self._features), torch.cat(self._labels)
        best = (-1.0, 0.0, torch.empty(0), torch.empty(0))
        regressions = LogisticRegressions(
            x, y, self.data.num_classes, iterations=_ITERATIONS, tolerance=_TOLERANCE
        )
        for strength in STRENGTHS:
            weight, bias = regressions.fit(strength)
            found = torch.nn.functional.linear(val_features, weight, bias).argmax(1)
            accuracy = int((found == self.val.labels).sum()) / max(len(self.val), 1)
            if accuracy > best[0]:
                best = accuracy, strength, weight, bias
            if spent(1.0):
                break
        accuracy, strength, weight, bias = best
        self._seconds += self.timer() - start
        return Probe(self.sample.backbone.id, weight, bias, accuracy, strength, len(x), self._seconds)


def _others(train: Split, sample: Sample, seed: int) -> Tensor:
    """Indices of the training images beside those that were drawn, in random order."""
    left = torch.ones(len(train), dtype=torch.bool)
    left[sample.indices] = False
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return order[left[order]]


def _parts(split: Split) -> list[Split]:
    return [split.subset(part) for part in torch.split(torch.arange(len(split)), _CHUNK)]


def _features(backbone: Backbone, split: Split) -> Tensor:
    # Read, not kept: a whole split at the backbone's size would push the one that training needs out.
    return backbone.features(split.images.read(torch.arange(len(split)), backbone.size))
