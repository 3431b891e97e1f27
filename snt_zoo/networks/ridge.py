"""Heads in closed form: ridge regression of the classes on frozen features, for many heads of one network.

A logistic head takes tenths of a second, which is much where fifteen of them are fitted to the same features.
How near the two come is a figure of `python -m benchmarks.outcomes`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snt_zoo.errors import DivergenceError

STRENGTH = 0.1
"""Penalty on the squared weights, for a mean loss on standardised features."""


def ridge_head(
    x: Tensor, labels: Tensor, num_classes: int, *, strength: float = STRENGTH
) -> tuple[Tensor, Tensor]:
    """A linear classifier by least squares on the classes' indicators.

    Args:
        x: features, float32 ``n x d``; standardised inside.
        labels: int64 ``n``, each below `num_classes`.
        num_classes: K.
        strength: of the penalty.

    Returns:
        Weight ``K x d`` and bias ``K`` for the features as they came, float32.

    Raises:
        DivergenceError: a feature is no number.
    """
    mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-4)
    z = ((x - mean) / std).double()
    if not bool(z.isfinite().all()):
        raise DivergenceError(
            "the features that a head is fitted to are not numbers: the weights of the network overflow; "
            "take another supernet"
        )
    wanted = torch.nn.functional.one_hot(labels, num_classes).double()
    shares = wanted.mean(0)
    n, d = z.shape
    if d <= n:
        gram = z.T @ z / n + strength * torch.eye(d, dtype=z.dtype)
        weight = torch.linalg.solve(gram, z.T @ (wanted - shares) / n)
    else:  # the dual form: n equations in the place of d
        gram = z @ z.T / n + strength * torch.eye(n, dtype=z.dtype)
        weight = z.T @ torch.linalg.solve(gram, (wanted - shares) / n)
    scaled = weight.T.float() / std
    return scaled, shares.float() - scaled @ mean
