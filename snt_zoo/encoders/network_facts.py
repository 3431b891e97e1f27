"""What the predictor knows of a network: its card, and its profile where its weights are at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.encoders.profile import DIM

CARD = (
    "log parameters",
    "log multiply-accumulates",
    "own accuracy",
    "unmeasured",
    "log sources",
    "large images",
)
"""Columns of a card. None names a space, so that a network of a new one is like others in all else."""


@dataclass(frozen=True, eq=False)
class NetworkFacts:
    """One network.

    Args:
        digest: of its bundle: under which outcomes know it.
        params: weights.
        macs: multiply-accumulates for one image.
        accuracy: at home, on validation, from 0 to 1; None if it was not measured.
        sources: how many datasets it was trained on.
        input_size: side of its images, in pixels.
        profile: float32 ``DIM`` of `snt_zoo.encoders.profile`; None where nobody has its weights.
    """

    digest: str
    params: int
    macs: int
    accuracy: float | None
    sources: int
    input_size: int
    profile: Tensor | None = None

    def card(self) -> Tensor:
        """The columns of `CARD`, float64."""
        values = [
            math.log10(max(self.params, 1)) - 5,
            math.log10(max(self.macs, 1)) - 7,
            self.accuracy or 0.0,
            float(self.accuracy is None),
            math.log(max(self.sources, 1)),
            float(self.input_size > 32),
        ]
        return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Cards:
    """Cards as a predictor compares them.

    Args:
        centre: float64 ``len(CARD)``.
        scale: likewise.
    """

    centre: Tensor
    scale: Tensor

    @classmethod
    def measured_on(cls, networks: Sequence[NetworkFacts]) -> Cards:
        """With mean and deviation of some networks."""
        cards = torch.stack([each.card() for each in networks])
        return cls(cards.mean(0), cards.std(0, correction=0).clamp_min(0.05))

    def scaled(self, networks: Sequence[NetworkFacts]) -> Tensor:
        """Standardised and bounded, so that no claim of an author moves a network far: ``n x len(CARD)``."""
        cards = torch.stack([each.card() for each in networks])
        return ((cards - self.centre) / self.scale).clamp(-4, 4)


CARD_WEIGHT = 0.1
"""Of the mean squared difference of cards, where that of profiles, which are of length 1, counts 1."""

UNKNOWN = 0.5
"""Squared distance of a profile that nobody knows from every other; among the starter zoo's the mean is
that."""


def between(networks: Sequence[NetworkFacts], cards: Tensor) -> Tensor:
    """Distances of networks, by what they do and what they cost, float64 ``n x n``.

    Args:
        networks: their profiles count.
        cards: of them, scaled, ``n x c``.
    """
    there = torch.tensor([each.profile is not None for each in networks])
    blank = torch.zeros(DIM)
    profiles = torch.stack([blank if each.profile is None else each.profile for each in networks]).double()
    done = torch.cdist(profiles, profiles).square()
    squared = torch.where(there[:, None] & there[None, :], done, UNKNOWN)
    squared = squared + CARD_WEIGHT * torch.cdist(cards, cards).square() / cards.shape[1]
    return squared.fill_diagonal_(0.0).sqrt()
