"""Views of a dataset: some of its classes, some of its images. Each is a task of its own for a head.

What a network is worth for a task is learned from outcomes on many tasks. Features of one dataset are
computed once, and heads on parts of it are nearly free, so that one dataset gives many tasks (augmented
copies of datasets are accepted as further tasks in ZAP, Öztürk et al. 2022). Views of one dataset are
relatives: an evaluation keeps them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.encoders.sketch import Sketch, sketch_features

WHOLE = "all"

FEW_VIEWS = (WHOLE, "n5", "classes5-0")
"""What networks that are measured sparsely are measured on."""


@dataclass(frozen=True, eq=False)
class View:
    """One view.

    Args:
        name: of the view, as `n5` (five images of each class) or `classes5-0` (five random classes).
        classes: the dataset's labels that it keeps, int64 ``k``, ascending.
        rows: of the sample that it keeps, int64 ``m``, ascending.
    """

    name: str
    classes: Tensor
    rows: Tensor

    def relabelled(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which of some images have a class of the view, and its number among those.

        Args:
            labels: of the dataset, int64 ``n``.

        Returns:
            Indices, int64 ``m``, and labels from 0 to k − 1, int64 ``m``.
        """
        inside = torch.isin(labels, self.classes).nonzero().flatten()
        return inside, torch.searchsorted(self.classes, labels[inside])


def views(labels: Tensor, *, seed: int = 0) -> list[View]:
    """The views of a sample, the whole first; of many classes 18, of two classes 6 at most.

    Args:
        labels: of the sample's images, int64 ``n``; within a class in an order that content decides.
        seed: of which classes are drawn.
    """
    classes = torch.unique(labels)
    rank = _ranks(labels)
    every = torch.arange(len(labels))
    found = [View(WHOLE, classes, every)]
    largest = int(rank.max()) + 1
    few = {f"n{n}": rank < n for n in (20, 5, 2) if n < largest}
    halves = {f"half{part}": rank % 2 == part for part in (0, 1)} if largest >= 4 else {}
    found += [View(name, classes, mask.nonzero().flatten()) for name, mask in {**few, **halves}.items()]
    generator = torch.Generator().manual_seed(seed)
    k = len(classes)
    order = classes[torch.randperm(k, generator=generator)]
    kept: dict[str, Tensor] = {}
    if k >= 4:
        kept |= {"classes-half0": order[: k // 2], "classes-half1": order[k // 2 :]}
    for size, times in ((10, 2), (5, 3), (2, 3)):
        if k > size:
            for number in range(times):
                kept[f"classes{size}-{number}"] = classes[torch.randperm(k, generator=generator)[:size]]
    for name, some in kept.items():
        inside = torch.isin(labels, some)
        found.append(View(name, some.sort().values, inside.nonzero().flatten()))
        if name.startswith("classes-half") and largest > 5:
            found.append(View(f"{name}-n5", some.sort().values, (inside & (rank < 5)).nonzero().flatten()))
    return found


def view_sketch(view: View, features: Tensor, labels: Tensor, like: Sketch) -> Sketch:
    """The sketch of a view.

    Args:
        view: of the sample.
        features: of the sample's images, projected, float32 ``n x 64``.
        labels: of the dataset, int64 ``n``.
        like: the sketch of the whole: gives names and the backbone.
    """
    if view.name == WHOLE:
        return like
    own = torch.searchsorted(view.classes, labels[view.rows])
    names = torch.searchsorted(torch.unique(labels), view.classes)
    return sketch_features(
        features[view.rows],
        own,
        name=f"{like.name}/{view.name}",
        backbone=like.backbone,
        class_names=[like.class_names[int(number)] for number in names],
        counts=torch.bincount(own, minlength=len(view.classes)),
    )


def first_of_each(labels: Tensor, most: int) -> Tensor:
    """The first rows of each class, as many of each, at most so many in all but two of each: int64 ``m``."""
    quota = max(2, most // len(torch.unique(labels)))
    return (_ranks(labels) < quota).nonzero().flatten()


def _ranks(labels: Tensor) -> Tensor:
    """The place of each image among those of its class, int64 ``n``."""
    rank = torch.empty_like(labels)
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        rank[members] = torch.arange(len(members))
    return rank
