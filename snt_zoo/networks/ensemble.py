"""An ensemble: networks for the same classes whose log-probabilities are added up, each with a weight.

Such a sum is a logarithmic opinion pool (Genest and Zidek, Statistical Science 1986). The weights are fitted
to images that none of the networks was trained on, which is stacking (Wolpert, Neural Networks 1992) with one
number for each network; of a single one it is temperature scaling (Guo et al., ICML 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from snt_zoo.data.normalisation import as_unit
from snt_zoo.networks.derived import DerivedModel

_CLEAR_ERRORS = 2.0  # as in the heat of a race


class Ensemble(nn.Module):
    """Derived networks that answer together.

    They may take images of different sizes, so an ensemble takes pixels as they are and makes of them what
    each wants.

    Args:
        members: with the same classes in the same order.
        weights: of their log-probabilities, at least 0; float32 ``(members,)``.
    """

    weights: Tensor

    def __init__(self, members: Sequence[DerivedModel], weights: Tensor) -> None:
        super().__init__()
        if len(members) != len(weights) or len({m.config.num_classes for m in members}) != 1:
            raise ValueError(
                f"expected a weight for each of {len(members)} members with equally many classes, got "
                f"{len(weights)} and {[m.config.num_classes for m in members]} classes"
            )
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", weights.detach().float())

    @property
    def networks(self) -> tuple[DerivedModel, ...]:
        """The members."""
        return tuple(cast(DerivedModel, member) for member in self.members)

    def placed(self, device: torch.device | str) -> Ensemble:
        """Itself, each member moved to a device in the memory format that is fast there."""
        for network in self.networks:
            network.placed(device)
        self.weights = self.weights.to(device)
        return self

    def pooled(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits of each member, ``batch x num_classes``, to those of all together."""
        return _pooled(self.weights, logits)

    def forward(self, images: Tensor) -> Tensor:
        """Images, ``batch x 3 x h x w``, to logits, ``batch x num_classes``.

        Args:
            images: uint8, or floating in [0, 1]; not normalised, of any size.
        """
        return self.pooled(
            [network(network.config.normalisation(_resized(images, network))) for network in self.networks]
        )


def members(network: DerivedModel | Ensemble) -> tuple[DerivedModel, ...]:
    """Of an ensemble its networks, else the network itself."""
    return network.networks if isinstance(network, Ensemble) else (network,)


@dataclass(frozen=True, eq=False)
class Pool:
    """Weights of networks that answer together, and how well they do on the images that chose them.

    Args:
        weights: float32 ``(networks,)``, at least 0.
        losses: cross-entropy of each image in nats, float64 ``(n,)``.
        accuracy: from 0 to 1.
    """

    weights: Tensor
    losses: Tensor
    accuracy: float

    @property
    def cross_entropy(self) -> float:
        """Its mean in nats."""
        return float(self.losses.mean())

    def clearly_better_than(self, other: Pool) -> bool:
        """Whether its cross-entropy is lower by more than two standard errors of the difference by image.

        Not by accuracy: on a hundred images that cannot tell, and a training's best epoch was chosen by it.
        """
        gain = other.losses - self.losses
        if len(gain) < 2:
            return False
        error = float(gain.std()) / math.sqrt(len(gain))
        return float(gain.mean()) > _CLEAR_ERRORS * error


def fit_pool(logits: Sequence[Tensor], labels: Tensor) -> Pool:
    """The most likely weights for networks that answer together.

    Under a normal prior about (1, 0, 0, …), the first network alone, with a deviation of 1 for each weight:
    where images are few, or all named rightly, weights stay near it.

    Args:
        logits: of each network, ``n x num_classes``.
        labels: int64 ``n``.

    Example:
        >>> right = torch.eye(3)
        >>> fit_pool([right, torch.zeros(3, 3)], torch.arange(3)).accuracy
        1.0
    """
    from scipy.optimize import minimize

    logs = np.stack([of.double().log_softmax(1).numpy() for of in logits])
    own = logs[:, np.arange(len(labels)), labels.numpy()]
    prior = np.zeros(len(logs))
    prior[0] = 1.0

    def objective(weights: Any) -> tuple[float, Any]:
        summed = np.tensordot(weights, logs, 1)
        top = summed.max(1, keepdims=True)
        shares = np.exp(summed - top)
        total = shares.sum(1, keepdims=True)
        loss = (top + np.log(total)).sum() - weights @ own.sum(1)
        gradient = (logs * (shares / total)).sum((1, 2)) - own.sum(1)
        off = weights - prior
        return float(loss + 0.5 * off @ off), gradient + off

    found = minimize(objective, prior, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(logs))
    weights = torch.from_numpy(found.x).float()
    answers = _pooled(weights.double(), [of.double() for of in logits])
    losses = nn.functional.cross_entropy(answers, labels, reduction="none")
    return Pool(weights, losses, int((answers.argmax(1) == labels).sum()) / max(len(labels), 1))


def _pooled(weights: Tensor, logits: Sequence[Tensor]) -> Tensor:
    parts = [weight * of.log_softmax(1) for weight, of in zip(weights, logits, strict=True)]
    return torch.stack(parts).sum(0)


def _resized(images: Tensor, network: DerivedModel) -> Tensor:
    size = (network.config.input_size, network.config.input_size)
    if images.shape[-2:] == size:
        return images
    # By the mean of the area where it makes smaller, as Pillow does when a dataset is read.
    return nn.functional.interpolate(as_unit(images), size, mode="bilinear", antialias=True)
