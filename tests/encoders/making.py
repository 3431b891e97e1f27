"""Sketches and datasets for tests, and a backbone that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snt_zoo.data import ImageDataset, Normalisation, Split
from snt_zoo.encoders.backbone import Backbone
from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch


class _Pixels(nn.Module):
    """Colours of 4 × 4 blocks through a fixed random layer: cheap, but not blind."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, 96, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1) @ self.weight)


def cheap_backbone() -> Backbone:
    """A backbone of 96 features that takes microseconds."""
    return Backbone("cheap", _Pixels().eval(), 96, 16, Normalisation())


def random_sketch(
    classes: int, *, seed: int = 0, name: str = "random", counts: Sequence[int] | None = None
) -> Sketch:
    """Class Gaussians at random, of full rank."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(classes, COVARIANCE_DIM, COVARIANCE_DIM, generator=g) / COVARIANCE_DIM
    return Sketch(
        name=name,
        backbone="cheap/test",
        class_names=tuple(f"class {i}" for i in range(classes)),
        counts=torch.randint(1, 50, (classes,), generator=g) if counts is None else torch.tensor(counts),
        means=torch.randn(classes, DIM, generator=g),
        covariances=root @ root.mT + 1e-3 * torch.eye(COVARIANCE_DIM),
        samples=torch.empty(0, DIM),
        sample_labels=torch.empty(0, dtype=torch.int64),
    )


def relabelled(data: ImageDataset, order: Tensor, classes: Sequence[int]) -> ImageDataset:
    """The same training images in another order, and with the classes renumbered."""
    train = data.train.subset(order)
    position = torch.empty(len(classes), dtype=torch.int64)
    position[torch.tensor(classes)] = torch.arange(len(classes))
    names = tuple(data.class_names[i] for i in classes)
    return ImageDataset(data.name, names, Split(train.images, position[train.labels]), data.val, data.test)
