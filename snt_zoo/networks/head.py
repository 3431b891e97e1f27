"""A head for a new task in one pass over the data: logistic regression on the trunk's features.

The first stage of finetuning. Training the head by steps costs a pass through the whole network for each;
with the trunk frozen the features do not change, so they are computed once and the convex problem is
solved on them to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate, features, recalibrate
from snt_zoo.networks.heads import split_by_head, statistics_kept
from snt_zoo.networks.logistic import LogisticRegressions
from snt_zoo.networks.supernet import Supernet

L2 = 1e-3  # on standardised features; see docs/decisions.md
MAX_IMAGES = 8192  # of the training split, evenly spaced

# Heads that are fitted less far are up to nine points worse on validation: docs/decisions.md, 58.
_TOLERANCE = 3e-4
_ITERATIONS = 100


Norms = Literal["published", "measured"]


class Beginning(NamedTuple):
    """How a supernet begins on a new task: validation accuracy, and whose batch norms it has."""

    accuracy: float
    norms: Norms


def begin_on(network: Supernet, train: Split, val: Split, *, norms: Norms | None = None) -> Beginning:
    """Fit the head for a new task, with batch norms measured on it, or as they came if that is better.

    Statistics of the source are wrong on the target as a rule, and are measured again. Those of a network
    that was pretrained on millions of photographs can be worth more than new ones: the linear probe of the
    ImageNet start lost 8 to 15 points by measuring (docs/decisions.md; why was not found out). So of a
    space whose supernets may hold such a network both are tried.

    Args:
        network: changed in place (norms and head).
        train: training images.
        val: by which it is decided.
        norms: the answer, where it is known from fewer images.

    Returns:
        The accuracy on `val`, from 0 to 1, and which norms it is of.
    """
    kept = -1.0
    if norms == "published" or (norms is None and network.space.may_be_pretrained):
        fit_head(network, train)
        kept = evaluate(network, val)
        if norms == "published":
            return Beginning(kept, norms)
        published = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, train)
    fit_head(network, train)
    measured = evaluate(network, val)
    if kept > measured:
        network.load_state_dict(published)
        return Beginning(kept, "published")
    return Beginning(measured, "measured")


def preparation(
    network: Supernet | DerivedModel, train: Split, norms: Norms | None
) -> Callable[[], None] | None:
    """What a network needs before it is trained by statistics of batches; see `Run.fit`.

    A head for published norms is none for what training makes of the features: where these are far from the
    task's, the first steps diverged (docs/decisions.md, 62). So norms are then measured, and a head is fitted
    to that.

    Args:
        network: that will be changed in place (norms and head).
        train: training images.
        norms: whose it has now.
    """

    def measure() -> None:
        recalibrate(network, train)
        fit_head(network, train)

    return measure if norms == "published" else None


def quick_norms(network: Supernet) -> Norms:
    """Whose norms to begin with where trying both takes too long: docs/decisions.md, 51."""
    return "published" if network.space.may_be_pretrained else "measured"


def fit_heads(network: Supernet, split: Split) -> None:
    """`fit_head` for each dataset of several, with batch norms measured on its own images.

    Args:
        network: changed in place (the head's rows only).
        split: training images of all datasets.
    """
    start = 0
    for size, part in zip(network.config.heads, split_by_head(split, network.config.heads), strict=True):
        with statistics_kept(network):
            recalibrate(network, part)
            x, labels = features(network, part.thinned(MAX_IMAGES))
        weight, bias = _regression(x, labels - start, size)
        with torch.no_grad():
            network.head.weight[start : start + size].copy_(weight)
            network.head.bias[start : start + size].copy_(bias)
        start += size


def fit_head(network: Supernet | DerivedModel, split: Split) -> None:
    """Set the network's head to the regularised maximum-likelihood one for its features.

    Args:
        network: changed in place (the head only).
        split: training images.
    """
    x, labels = features(network, split.thinned(MAX_IMAGES))
    weight, bias = _regression(x, labels, network.config.num_classes)
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(bias)


def _regression(x: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    return LogisticRegressions(x, labels, num_classes, iterations=_ITERATIONS, tolerance=_TOLERANCE).fit(L2)
