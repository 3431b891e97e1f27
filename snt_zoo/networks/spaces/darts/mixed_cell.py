"""A DARTS cell in which every edge holds all operations.

The edges that leave a node see the same input, and grouped convolutions take them together, so that a step
has few launches. Their ReLU and pooling are done once. On the CPU the compiled kernels take the whole cell
(`fused_cell`); both compute what the edges would compute one by one, and the tests hold them to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.errors import ConfigError
from snt_zoo.networks import kernels
from snt_zoo.networks.spaces.darts.fused_cell import fused_cell
from snt_zoo.networks.spaces.darts.layout import (
    ALL,
    BLOCKS,
    EDGES,
    LEAVING,
    NODES,
    OPERATIONS,
    POOLS,
    SKIP,
    SOURCES,
    Active,
    Block,
    active,
    blocks_of,
)
from snt_zoo.networks.spaces.darts.operations import join_partial, rest_of, stack_of
from snt_zoo.networks.spaces.darts.stacked_cell import StackedCell
from snt_zoo.networks.spaces.part_norm import normalise


class MixedCell(StackedCell):
    """All operations of all edges; the arguments are those of `StackedCell`."""

    def forward(
        self,
        before: Tensor,
        last: Tensor,
        mixture: Tensor | None,
        choice: Sequence[int] | None = None,
    ) -> Tensor:
        """Both inputs to ``batch x 4C x h x w``, by ``14 x 8`` weights, a choice, or both.

        Raises:
            ConfigError: the choice leaves a node without an input.
        """
        wanted = ALL if choice is None else active(choice)
        for node in range(2, 2 + NODES):
            if not any(wanted[row] for row, (_, target) in enumerate(EDGES) if target == node):
                raise ConfigError(f"the path {list(choice or ())} leaves node {node} without an input")
        first, second = self.before(before), self.last(last)
        if self.partial == 1 and kernels.usable(first):
            return fused_cell(self, wanted, first, second, mixture)
        return self._grouped([first, second], mixture, wanted)

    def _grouped(self, states: list[Tensor], mixture: Tensor | None, wanted: Active) -> Tensor:
        sums: dict[int, Tensor] = {}
        rests: dict[int, Tensor] = {}

        def add(totals: dict[int, Tensor], target: int, message: Tensor) -> None:
            totals[target] = totals[target] + message if target in totals else message

        for source in SOURCES:
            if source >= 2:
                states.append(join_partial(sums[source], rests.get(source), self.partial))
            part = states[source][:, : self.width]
            rows = [row for row in LEAVING[source] if wanted[row]]
            if wanted is ALL:
                for row, message in zip(rows, self._convolved(part, source, mixture), strict=True):
                    add(sums, EDGES[row][1], message)
            elif rows:
                for row in rows:
                    for operation in wanted[row]:
                        for block in blocks_of(operation)[:1]:
                            message = self._blocks(part, block, row, 1)
                            add(sums, EDGES[row][1], _times(message, mixture, row, operation))
            for row, operation, message in self._weightless(part, source, rows, wanted):
                add(sums, EDGES[row][1], _times(message, mixture, row, operation))
            if self.partial > 1:
                rest = rest_of(states[source], self.width, self.stride(source))
                for row in rows:
                    weight = None if mixture is None else mixture[row, _span(wanted[row])].sum()
                    add(rests, EDGES[row][1], rest if weight is None else rest * weight)
        last = join_partial(sums[1 + NODES], rests.get(1 + NODES), self.partial)
        return torch.cat([*states[2:], last], dim=1)

    def _convolved(self, part: Tensor, source: int, mixture: Tensor | None) -> tuple[Tensor, ...]:
        """The weighted convolutional operations of all edges that leave a node, an edge each."""
        assert mixture is not None
        rows = LEAVING[source]
        repeated = part.repeat(1, len(rows), 1, 1)
        tables = torch.stack([mixture[row] for row in rows])
        total: Tensor | None = None
        for block in BLOCKS:
            if not block.second:
                out = self._blocks(repeated, block, rows[0], len(rows))
                weights = tables[:, block.operation].repeat_interleave(self.width)
                out = out * weights[:, None, None]
                total = out if total is None else total + out
        assert total is not None
        return torch.split(total, self.width, dim=1)

    def _blocks(self, x: Tensor, block: Block, row: int, count: int) -> Tensor:
        """The operation that begins with a block, of `count` edges from a row on."""
        for part in blocks_of(block.operation):
            x = self._block(x, part, row, count)
        return x

    def _block(self, x: Tensor, block: Block, row: int, count: int) -> Tensor:
        rows = self.rows(row, count)
        stride = 1 if block.second else self.stride(EDGES[row][0])
        out = functional.conv2d(
            torch.relu(x),
            stack_of(self.depthwise, block)[rows],
            stride=stride,
            padding=block.padding,
            dilation=block.dilation,
            groups=count * self.width,
        )
        out = functional.conv2d(out, stack_of(self.pointwise, block)[rows], groups=count)
        return normalise(out, self.norms[block.name], rows)

    def _weightless(
        self, part: Tensor, source: int, rows: Sequence[int], wanted: Active
    ) -> list[tuple[int, int, Tensor]]:
        """Pools and skips of the edges that leave a node: row, operation and output of each."""
        pooled: dict[int, Tensor] = {}
        found = []
        for row in rows:
            for operation in wanted[row]:
                name = OPERATIONS[operation]
                if name in POOLS and operation not in pooled:
                    pooled[operation] = self._pool(name, part, source)
                if name in POOLS:
                    found.append((row, operation, pooled[operation]))
                elif operation == SKIP:
                    strided = self.skip(row)
                    found.append((row, operation, part if strided is None else strided(part)))
        return found

    def _pool(self, name: str, part: Tensor, source: int) -> Tensor:
        stride = self.stride(source)
        out = (
            functional.max_pool2d(part, 3, stride, 1)
            if name == "max_pool_3x3"
            else functional.avg_pool2d(part, 3, stride, 1, count_include_pad=False)
        )
        return normalise(out, self.pool_norms[name], slice(source * self.width, (source + 1) * self.width))


def _span(operations: Sequence[int]) -> slice:
    """One operation, or all but `none`, as a slice: a list of numbers would be copied to a GPU first."""
    return slice(operations[0], operations[-1] + 1)


def _times(message: Tensor, mixture: Tensor | None, row: int, operation: int) -> Tensor:
    return message if mixture is None else message * mixture[row, operation]
