"""The sandwich rule with in-place distillation (Yu et al., ECCV 2020, arXiv 2003.11142, sections 3.1, 3.2).

A weight step runs three networks that share their weights: a teacher, the smallest one and one drawn from the
alphas. The teacher learns the labels, the others its answers, so that what lies between the largest and
the smallest becomes usable too. The alphas move as in GDAS.

The teacher is the largest path; of a supernet that holds a pretrained network (`Recipe.anchor`) it is that
network, as Once-for-All has it (Cai et al., ICLR 2020, arXiv 1908.09791, section 3.3). Its features are then
held to those that it came with, on the same batch, so that training on a few small datasets does not destroy
what ImageNet taught (features as hints: Romero et al., ICLR 2015, arXiv 1412.6550).
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.networks.heads import cross_entropy, own_classes
from snt_zoo.networks.spaces import Choice, SearchSpace
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.searchers.base import register_searcher
from snt_zoo.search.searchers.gdas import PathSearcher


@register_searcher("sandwich")
class SandwichSearcher(PathSearcher):
    """Every weight step computes a teacher, the smallest path and a sampled one."""

    sampled: ClassVar[bool] = True

    def __init__(self, network: Supernet, *arguments: Any, **options: Any) -> None:
        super().__init__(network, *arguments, **options)
        space, size = network.space, network.config.input_size
        self.smallest = extreme_path(space, size, largest=False)
        self.teacher = network.choice() if self.recipe.anchor else extreme_path(space, size, largest=True)
        # A resumed run begins with the same supernet, before it loads what it has become.
        self.origin = copy.deepcopy(network).requires_grad_(False) if self.recipe.anchor else None

    def loss(self, images: Tensor, labels: Tensor, *inputs: Tensor) -> Tensor:
        """The mean loss of the three, and the teacher's distance from what it was."""
        if self.settled:
            return super().loss(images, labels)
        net, heads = self.supernet, self.heads
        features = net.features(images, None, self.teacher)
        answers = net.head(features)
        total = cross_entropy(answers, labels, heads, label_smoothing=self.recipe.label_smoothing)
        _, drawn = self._sample()
        for path in (self.smallest, drawn):
            total = total + distillation(net(images, None, path), answers.detach(), labels, heads)
        total = total / 3
        if self.origin is not None:
            with torch.no_grad():  # by batch statistics, as the features that it is compared with
                wanted = self.origin.train().features(images, None, self.teacher)
            total = total + self.recipe.anchor * relative_error(features, wanted)
        return total


def extreme_path(space: SearchSpace, input_size: int, *, largest: bool) -> Choice:
    """The path of the most, or the fewest, multiply-accumulates that the space's own rule lets be.

    Args:
        space: with its rule for genotypes.
        input_size: side of the images, in pixels.
        largest: which of the two.
    """
    tables = space.costs(input_size).macs
    most = max(float(table.max()) for table in tables.values())
    scores = {kind: table.double() / most * (1 if largest else -1) for kind, table in tables.items()}
    # Steep, so that the order of costs is what decides.
    return space.choice(space.discretise({kind: (8 * table).softmax(1) for kind, table in scores.items()}))


def distillation(logits: Tensor, teacher: Tensor, labels: Tensor, heads: tuple[int, ...] = ()) -> Tensor:
    """Cross-entropy between the teacher's probabilities and a student's, within the head of each label.

    Args:
        logits: of the student, ``batch x classes``.
        teacher: likewise; no gradient goes there.
        labels: ``batch``; they only say which head is meant.
        heads: numbers of classes; none for one head.
    """
    if not heads:
        return functional.cross_entropy(logits, teacher.softmax(1))
    own = own_classes(labels, heads)
    logs = logits.masked_fill(~own, -torch.inf).log_softmax(1).masked_fill(~own, 0.0)
    return -(teacher.masked_fill(~own, -torch.inf).softmax(1) * logs).sum(1).mean()


def relative_error(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over the mean square of what is wanted, ``batch x dim`` each: 1 for all zeros."""
    return (features - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12)
