"""A dataset as the backbones of `benchmarks.looks` see it: pixels, features and the probe of each look."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import THREADS, EncodedStore
from snt_zoo.encoders.backbone import Backbone, get_backbone
from snt_zoo.encoders.probe import _ITERATIONS, _TOLERANCE, STRENGTHS, Probe
from snt_zoo.networks.logistic import LogisticRegressions

SQUASH, CROP, PAD = "squash", "crop", "pad"
"""Ways to make an image square: as the package does, its middle, all of it between margins."""
GREY = (127, 127, 127)

_WARM = 32  # images that are looked at before those that are timed


@dataclass(frozen=True, eq=False)
class Seen:
    """What one look gives.

    Args:
        probe: fitted to the training images.
        val: features of the validation images, ``n x dim``.
        test: of the test images.
        seconds: an image, of features alone.
        processor_seconds: the same of all threads.
        macs: multiply-accumulates of the backbone for an image.
        dtype: in which it computes.
    """

    probe: Probe
    val: Tensor
    test: Tensor
    seconds: float
    processor_seconds: float
    macs: int
    dtype: str


class Looking:
    """A dataset as different looks see it, each once. All looks see its images in the same order."""

    def __init__(self, data: ImageDataset, *, most: int | None = None) -> None:
        train = data.train
        if most is not None and len(train) > most:
            train = train.subset(
                torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:most]
            )
        self.classes = data.num_classes
        self.splits = (train, data.val, data.test)
        self.seen = functools.cache(self._seen)
        self._pixels = functools.lru_cache(maxsize=1)(self._read)

    def row(self, looks: Sequence[str], square: str) -> dict[str, Any]:
        """What looks that answer together come to."""
        seen = [self.seen(look, square) for look in looks]
        train, val, test = self.splits
        first, *others = (each.probe for each in seen)
        probe = first.with_others(others, [each.val for each in seen], val.labels)
        right = probe.together([each.test for each in seen]).argmax(1) == test.labels
        return {
            "val": round(probe.val_accuracy, 4),
            "test": round(float(right.float().mean()), 4),
            "milliseconds": round(1000 * sum(each.seconds for each in seen), 2),
            "processor_milliseconds": round(1000 * sum(each.processor_seconds for each in seen), 2),
            "macs": sum(each.macs for each in seen),
            "classes": self.classes,
            "images": [len(train), len(val), len(test)],
            "strengths": [each.probe.strength for each in seen],
            "dtype": seen[0].dtype,
            "threads": torch.get_num_threads(),
        }

    def _seen(self, look: str, square: str) -> Seen:
        backbone = get_backbone(look).quick()
        images = self._pixels(backbone.size, square)
        backbone.features(images[0][:_WARM])  # what is new takes longer
        began, spent = time.perf_counter(), time.process_time()
        train, val, test = (backbone.features(each) for each in images)
        spent, took, count = time.process_time() - spent, time.perf_counter() - began, sum(map(len, images))
        probe = self._fit(look, train, val)
        dtype = str(next(backbone.network.parameters()).dtype).removeprefix("torch.")
        return Seen(probe, val, test, took / count, spent / count, macs(backbone), dtype)

    def _fit(self, look: str, x: Tensor, val_x: Tensor) -> Probe:
        """As `GrowingProbe.fit` without limits: of penalties that do equally well the strongest."""
        labels, val_labels = (split.labels for split in self.splits[:2])
        regressions = LogisticRegressions(
            x, labels, self.classes, iterations=_ITERATIONS, tolerance=_TOLERANCE
        )
        tried = []
        for strength in STRENGTHS:
            weight, bias = regressions.fit(strength)
            right = (val_x @ weight.T + bias).argmax(1) == val_labels
            tried.append(Probe(look, weight, bias, float(right.float().mean()), strength, len(x), 0.0))
        return max(tried, key=lambda probe: probe.val_accuracy)

    def _read(self, size: int, square: str) -> list[Tensor]:
        return [pixels(split, size, square) for split in self.splits]


def pixels(split: Split, size: int, square: str) -> Tensor:
    """All images of a split in its order, made square in one of three ways: uint8 ``n x 3 x size x size``."""
    if square == SQUASH:
        return split.images.read(torch.arange(len(split)), size)
    store = split.images
    assert isinstance(store, EncodedStore), "images of one size are not made square in other ways"

    def one(source: Any) -> Tensor:
        with Image.open(source) as image:
            made = made_square(ImageOps.exif_transpose(image).convert("RGB"), size, square)
        return torch.from_numpy(np.array(made)).permute(2, 0, 1)

    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(one, store.sources)))


def made_square(image: Image.Image, size: int, square: str) -> Image.Image:
    """The middle of an image as wide as its short side, or all of it between grey margins."""
    scale = size / (min if square == CROP else max)(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    left, top = (width - size) // 2, (height - size) // 2
    if square == CROP:
        return image.crop((left, top, left + size, top + size))
    padded = Image.new("RGB", (size, size), GREY)
    padded.paste(image, (-left, -top))
    return padded


def macs(backbone: Backbone) -> int:
    """Multiply-accumulates of a backbone for one image of its size."""
    weight = next(backbone.network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.network(torch.zeros(1, 3, backbone.size, backbone.size, dtype=weight.dtype))
    return int(counter.get_total_flops()) // 2
