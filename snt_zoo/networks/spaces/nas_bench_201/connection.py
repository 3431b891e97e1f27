"""Partial connections (PC-DARTS, Xu et al. 2020, section 3.1), and how a node receives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def average_pool(x: Tensor) -> Tensor:
    """The average of 3 × 3 pixels, as far as they are inside."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Partial:
    """Partial connections: what goes through the operations, what bypasses them, and how both meet again."""

    def __init__(self, channels: int, partial: int) -> None:
        self.partial = partial
        self.width = channels // partial

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The channels for the operations, and the others; all and None if K is 1."""
        if self.partial == 1:
            return x, None
        return x[:, : self.width], x[:, self.width :]

    def join(self, node: list[Tensor]) -> Tensor:
        """A node's state from the sums of what it received, channels shuffled over the K groups."""
        if self.partial == 1:
            return node[0]
        x = torch.cat(node, dim=1)
        n, c, h, w = x.shape
        shuffled = x.view(n, self.partial, c // self.partial, h, w).transpose(1, 2).reshape(n, c, h, w)
        return shuffled.contiguous(memory_format=torch.channels_last)


def receive(nodes: dict[int, list[Tensor]], target: int, *messages: Tensor | None) -> None:
    """Add an edge's messages to what its target has received."""
    parts = [message for message in messages if message is not None]
    known = nodes.get(target)
    nodes[target] = parts if known is None else [a + b for a, b in zip(known, parts, strict=True)]
