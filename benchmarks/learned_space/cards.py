"""What cards suggest of networks that nobody tried: the prior of the learned space."""

from __future__ import annotations

import torch
from torch import Tensor


def from_cards(cards: Tensor, levels: Tensor, tried: Tensor, *, strength: float = 3.0) -> Tensor:
    """What cards suggest of each network's level, by ridge regression over those that were tried.

    Args:
        cards: of all networks, float64 ``N x c``.
        levels: float64 ``N``.
        tried: which of them are known, bool ``N``.
        strength: of the penalty on standardised columns.
    """
    mean, std = cards[tried].mean(0), cards[tried].std(0, correction=0).clamp_min(1e-6)
    z = (cards - mean) / std
    own, offset = z[tried], levels[tried].mean()
    gram = own.T @ own + strength * torch.eye(z.shape[1], dtype=z.dtype)
    weight = torch.linalg.solve(gram, own.T @ (levels[tried] - offset))
    found: Tensor = offset + z @ weight
    return found
