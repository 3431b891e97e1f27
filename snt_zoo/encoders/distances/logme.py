"""LogME (You, Liu, Wang and Long 2021, arXiv 2102.11005): how well a network's features explain the labels.

The labels of each class, as 0 and 1, are a linear function of the features with a Gaussian prior of precision
α on the weights and Gaussian noise of precision β. The logarithm of the evidence is maximised over α and β
by MacKay's fixed point (their algorithm 1), in the basis of the features' singular vectors, and averaged over
classes and images. It needs the source's network and the target's images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.encoders.distances.base import DatasetDistance, Measured, Source, register_distance
from snt_zoo.encoders.target import Target
from snt_zoo.errors import RegistryError, leaving_out
from snt_zoo.networks.evaluate import features as network_features

MAX_IMAGES = 1024
_STEPS = 100  # the fixed point moves by less than `_TOLERANCE` after about ten
_TOLERANCE = 1e-4


@register_distance("logme")
class LogME(DatasetDistance):
    """The inverse of the evidence for one image, exp(−LogME).

    Args:
        max_images: of the target's training split, evenly spaced.
    """

    needs_images = True

    def __init__(self, *, max_images: int = MAX_IMAGES) -> None:
        self.max_images = max_images

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        assert target.data is not None  # `needs_images` is checked before
        part = target.data.train.thinned(self.max_images)
        found: dict[str, float] = {}
        for source in sources:
            if source.id not in found:  # a supernet of several datasets is asked once
                found[source.id] = self._distance(source, part)
        return self.plain([found[source.id] for source in sources])

    def _distance(self, source: Source, part: Split) -> float:
        if source.load is None:
            raise RegistryError(
                f"the distance 'logme' needs the network of {source.id}, and only its sketch is at hand: "
                "ask through a zoo that holds it"
            )
        network = None
        with leaving_out(source.id):
            network = source.load()
        if network is None:
            return math.nan
        features, labels = network_features(network, part)
        if not bool(features.isfinite().all()):  # its weights overflow: nothing is further away
            return math.inf
        return math.exp(-log_evidence(features, labels))


def log_evidence(features: Tensor, labels: Tensor) -> float:
    """LogME: the maximal logarithm of the evidence, averaged over classes and samples.

    Args:
        features: ``n x d``.
        labels: int64 ``n``; every class that is there counts.

    Returns:
        A real number, larger is better.
    """
    x = features.double()
    n, dim = x.shape
    left, singular, _ = torch.linalg.svd(x, full_matrices=False)
    spectrum = singular.square()
    present = torch.unique(labels)
    onehot = (labels[:, None] == present).double()
    inside = (left.mT @ onehot).square()  # r x classes: squared coordinates of the labels
    outside = (onehot.square().sum(0) - inside.sum(0)).clamp_min(0)  # what no feature can say
    alpha = x.new_ones(len(present))
    beta = x.new_ones(len(present))

    def posterior(ratio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Effective number of weights; |m|² and |Fm − y|² of the posterior mean m."""
        shrunk = spectrum[:, None] / (spectrum[:, None] + ratio)
        weights = (inside * spectrum[:, None] / (spectrum[:, None] + ratio).square()).sum(0)
        return shrunk.sum(0), weights, (inside * (1 - shrunk).square()).sum(0) + outside

    for _ in range(_STEPS):
        before = alpha / beta
        gamma, weights, residual = posterior(before)
        alpha = gamma / weights.clamp_min(1e-12)
        beta = (n - gamma).clamp_min(1e-12) / residual.clamp_min(1e-12)
        if bool(((alpha / beta - before).abs() <= _TOLERANCE * before).all()):
            break
    _, weights, residual = posterior(alpha / beta)
    logdet = (alpha + beta * spectrum[:, None]).log().sum(0) + (dim - len(spectrum)) * alpha.log()
    evidence = (
        n / 2 * beta.log()
        + dim / 2 * alpha.log()
        - n / 2 * math.log(2 * math.pi)
        - beta / 2 * residual
        - alpha / 2 * weights
        - logdet / 2
    )
    return float(evidence.mean() / n)
