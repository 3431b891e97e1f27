"""A DARTS cell with the kept edges only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snt_zoo.networks.genotype import Edge
from snt_zoo.networks.spaces.darts.layout import NODES
from snt_zoo.networks.spaces.darts.operations import Cell, build_operation, join_partial, rest_of, sum_of


class DerivedCell(Cell):
    """One operation on each kept edge; the arguments are those of `StackedCell`."""

    def __init__(
        self,
        c_before: int,
        c_last: int,
        channels: int,
        edges: tuple[Edge, ...],
        *,
        partial: int,
        halve_before: bool,
        reduce: bool,
    ) -> None:
        super().__init__(c_before, c_last, channels, halve_before, affine=True)
        self.edges = edges
        self.partial = partial
        self.width = channels // partial
        self.reduce = reduce
        self.operations = nn.ModuleList(
            build_operation(edge.operation, self.width, self.stride(edge), True) for edge in edges
        )

    def stride(self, edge: Edge) -> int:
        """Stride of an edge."""
        return 2 if self.reduce and edge.source < 2 else 1

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Both inputs to ``batch x 4C x h x w``."""
        states = [self.before(before), self.last(last)]
        for node in range(2, 2 + NODES):
            incoming = [
                (edge, operation)
                for edge, operation in zip(self.edges, self.operations, strict=True)
                if edge.target == node
            ]
            part = sum_of(operation(states[e.source][:, : self.width]) for e, operation in incoming)
            rest = (
                sum_of(rest_of(states[e.source], self.width, self.stride(e)) for e, _ in incoming)
                if self.partial > 1
                else None
            )
            states.append(join_partial(part, rest, self.partial))
        return torch.cat(states[2:], dim=1)
