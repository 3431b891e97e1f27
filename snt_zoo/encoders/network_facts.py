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
        return torch.tensor(self.columns(), dtype=torch.float64)

    def columns(self) -> list[float]:
        """The same as numbers."""
        return [
            math.log10(max(self.params, 1)) - 5,
            math.log10(max(self.macs, 1)) - 7,
            self.accuracy or 0.0,
            float(self.accuracy is None),
            math.log(max(self.sources, 1)),
            float(self.input_size > 32),
        ]


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
        cards = torch.tensor([each.columns() for each in networks], dtype=torch.float64)
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
    return across(Places.of(networks, cards), Places.of(networks, cards)).fill_diagonal_(0.0)


@dataclass(frozen=True, eq=False)
class Places:
    """Where networks are, as `across` compares them.

    Args:
        there: whether the profile is known, bool ``n``.
        profiles: float64 ``n x DIM``, zeros where it is not.
        cards: scaled, ``n x c``.
    """

    there: Tensor
    profiles: Tensor
    cards: Tensor

    @classmethod
    def of(cls, networks: Sequence[NetworkFacts], cards: Tensor) -> Places:
        """Of networks with their scaled cards."""
        blank = torch.zeros(DIM)
        profiles = [blank if each.profile is None else each.profile for each in networks]
        there = [each.profile is not None for each in networks]
        return cls(torch.tensor(there), torch.stack(profiles).double(), cards)


def across(left: Places, right: Places) -> Tensor:
    """Distances of all pairs, float64 ``n x m``; of a network that nobody knows to itself as to another."""
    done = torch.cdist(left.profiles, right.profiles).square()
    squared = torch.where(left.there[:, None] & right.there[None, :], done, UNKNOWN)
    squared = squared + CARD_WEIGHT * torch.cdist(left.cards, right.cards).square() / left.cards.shape[1]
    return squared.sqrt()
