"""The cell of a supernet: the work that edges share is done once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.networks.genotype import Edge
from snt_zoo.networks.spaces.nas_bench_201.connection import Partial, average_pool, receive
from snt_zoo.networks.spaces.nas_bench_201.derived_cell import ConvNorm
from snt_zoo.networks.spaces.nas_bench_201.layout import EDGES, NODES, OPERATIONS, cell_of, live
from snt_zoo.networks.spaces.part_norm import copy_statistics, normalise


class FanOut(nn.Module):
    """Convolution and batch norm of all edges that leave one node, as one convolution."""

    def __init__(self, channels: int, branches: int, kernel: int) -> None:
        super().__init__()
        self.branches = branches
        self.conv = nn.Conv2d(channels, channels * branches, kernel, padding=kernel // 2, bias=False)
        # Not affine: a scale would make the alphas meaningless (Liu et al. 2019, section 3).
        self.norm = nn.BatchNorm2d(channels * branches, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out

    def rows(self, branch: int) -> slice:
        """The output channels of one edge."""
        width = self.conv.out_channels // self.branches
        return slice(branch * width, (branch + 1) * width)

    def one(self, x: Tensor, branch: int) -> Tensor:
        """One edge alone."""
        rows = self.rows(branch)
        out = functional.conv2d(x, self.conv.weight[rows], padding=self.conv.padding)
        return normalise(out, self.norm, rows)

    def copy_to(self, plain: ConvNorm, branch: int) -> None:
        """Give one edge's weights and statistics to its derived operation."""
        plain.conv.weight.copy_(self.conv.weight[self.rows(branch)])
        copy_statistics(self.norm, plain.norm, self.rows(branch))


class MixedCell(nn.Module):
    """A cell in which every edge is the weighted sum of its five operations."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__()
        self.connection = Partial(channels, partial)
        width = self.connection.width
        fan_outs = range(NODES - 1, 0, -1)  # node s has NODES - 1 - s outgoing edges
        self.conv_1x1 = nn.ModuleList(FanOut(width, n, 1) for n in fan_outs)
        self.conv_3x3 = nn.ModuleList(FanOut(width, n, 3) for n in fan_outs)

    def forward(self, x: Tensor, mixture: Tensor | None, choice: Sequence[int] | None = None) -> Tensor:
        """``batch x channels x h x w`` to the same, by ``6 x 5`` weights, a choice, or both."""
        if choice is not None:
            return self._path(x, mixture, choice)
        assert mixture is not None
        return self._mixed(x, mixture)

    def _path(self, x: Tensor, mixture: Tensor | None, choice: Sequence[int]) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        states: dict[int, tuple[Tensor, Tensor | None]] = {0: self.connection.split(x)}
        active: dict[int, Tensor] = {}
        for edge in live(cell_of(choice)):
            source, target, name = edge
            if source not in states:
                states[source] = self.connection.split(self.connection.join(received[source]))
            state, rest = states[source]
            branch = target - source - 1
            if name.startswith("nor_conv") and source not in active:
                active[source] = torch.relu(state)
            match name:
                case "nor_conv_1x1" | "nor_conv_3x3":
                    message = self.fan_out(edge).one(active[source], branch)
                case "avg_pool_3x3":
                    message = average_pool(state)
                case _:
                    message = state
            if mixture is not None:
                weight = mixture[EDGES.index((source, target)), OPERATIONS.index(name)]
                message = message * weight
                rest = None if rest is None else rest * weight
            receive(received, target, message, rest)
        return self.connection.join(received[NODES - 1]) if NODES - 1 in received else torch.zeros_like(x)

    def fan_out(self, edge: Edge) -> FanOut:
        """The convolutions that leave an edge's source, of the edge's operation."""
        group = self.conv_1x1 if edge.operation == "nor_conv_1x1" else self.conv_3x3
        found = group[edge.source]
        assert isinstance(found, FanOut)
        return found

    def _mixed(self, x: Tensor, mixture: Tensor) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        row = 0
        for source in range(NODES - 1):
            # Node s has received the edge from node s - 1 by now.
            state, rest = self.connection.split(self.connection.join(received[source]) if source else x)
            branches = NODES - 1 - source
            weights = mixture[row : row + branches]
            row += branches
            active = torch.relu(state)
            scale = weights.repeat_interleave(self.connection.width, dim=0)[:, :, None, None]
            convolved = (
                self.conv_1x1[source](active) * scale[:, 2] + self.conv_3x3[source](active) * scale[:, 3]
            )
            pooled = average_pool(state)
            for branch, part in enumerate(convolved.split(self.connection.width, dim=1)):
                message = part + state * weights[branch, 1] + pooled * weights[branch, 4]
                bypassed = None if rest is None else rest * weights[branch, 1:].sum()
                receive(received, source + 1 + branch, message, bypassed)
        return self.connection.join(received[NODES - 1])
