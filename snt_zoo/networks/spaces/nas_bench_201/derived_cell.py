"""The cell of a derived network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snt_zoo.networks.genotype import Edge
from snt_zoo.networks.spaces.nas_bench_201.connection import Partial, receive
from snt_zoo.networks.spaces.nas_bench_201.layout import NODES, live
from snt_zoo.networks.spaces.parts import Joining


class ConvNorm(nn.Module):
    """A convolution of the space; the ReLU before it is the cell's, as edges share it."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


def build_operation(name: str, channels: int) -> nn.Module:
    """An operation other than `none`, ``batch x channels x h x w`` to the same."""
    match name:
        case "nor_conv_1x1":
            return ConvNorm(channels, 1)
        case "nor_conv_3x3":
            return ConvNorm(channels, 3)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        case _:
            return nn.Identity()


def build_edge(name: str, channels: int) -> nn.Module:
    """An operation as it stands on an edge, with the ReLU before a convolution and the sum after it."""
    return Joining(build_operation(name, channels), active=name.startswith("nor_conv"))


class DerivedCell(nn.Module):
    """A cell with one operation on each edge; edges that lead nowhere are not built."""

    def __init__(self, channels: int, edges: tuple[Edge, ...], partial: int) -> None:
        super().__init__()
        self.connection = Partial(channels, partial)
        width = self.connection.width
        self.edges = live(edges)
        self.operations = nn.ModuleList(build_operation(edge.operation, width) for edge in self.edges)

    def forward(self, x: Tensor) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        states = {0: self.connection.split(x)}
        active: dict[int, Tensor] = {}
        for edge, operation in zip(self.edges, self.operations, strict=True):
            if edge.source not in states:
                states[edge.source] = self.connection.split(self.connection.join(received[edge.source]))
            state, rest = states[edge.source]
            if isinstance(operation, ConvNorm):
                if edge.source not in active:
                    active[edge.source] = torch.relu(state)
                state = active[edge.source]
            receive(received, edge.target, operation(state), rest)
        return self.connection.join(received[NODES - 1])
