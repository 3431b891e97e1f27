"""The operations of a space as modules of their own, so that each can be timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Part:
    """One operation at one size.

    Args:
        name: that no other operation, or the same at another size, has.
        channels: that come in.
        side: of the maps that come in, in pixels.
        chains: whether what goes out has the shape of what comes in.
        build: makes it, ``batch x channels x side x side`` to maps.
    """

    name: str
    channels: int
    side: int
    chains: bool
    build: Callable[[], nn.Module] = field(compare=False)


Parts = Mapping[str, Sequence[Sequence[tuple[Part, ...]]]]
"""For each kind of cell, for each edge, for each operation: what a network has more of, cell by cell."""


class Joining(nn.Module):
    """An operation of an edge, and the sum by which its node takes what it gives.

    Args:
        operation: that keeps the shape of its input.
        active: whether a ReLU is before it.
    """

    def __init__(self, operation: nn.Module, *, active: bool = False) -> None:
        super().__init__()
        self.operation = operation
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """``batch x channels x h x w`` to the same."""
        out: Tensor = x + self.operation(torch.relu(x) if self.active else x)
        return out
