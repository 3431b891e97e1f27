"""The forward pass of a mixed DARTS cell by the compiled kernels, and what it keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import Convolution, Geometry
from snt_zoo.networks.spaces.darts.layout import (
    BLOCKS,
    EDGES,
    LEAVING,
    NODES,
    OPERATIONS,
    PLACE,
    POOLS,
    SKIP,
    SOURCES,
    Active,
    Block,
    blocks_of,
)
from snt_zoo.networks.spaces.darts.stacked_cell import StackedCell

# Every normalised tensor has a row of scale and shift: a block of an edge, a pool of a source. The last row
# is the identity, of tensors that are used as they are.
_POOL_ROWS = len(BLOCKS) * len(EDGES)
IDENTITY = _POOL_ROWS + len(POOLS) * len(SOURCES)


def block_row(block: Block, row: int) -> int:
    return BLOCKS.index(block) * len(EDGES) + PLACE[row]


def pool_row(operation: int, source: int) -> int:
    return _POOL_ROWS + POOLS.index(OPERATIONS[operation]) * len(SOURCES) + source


class Output(NamedTuple):
    """What an operation gives: its value before batch norm, and the row of its scale and shift."""

    operation: int
    value: Tensor
    row: int


@dataclass
class Pools:
    """Both pools of a source."""

    geometry: Geometry
    highest: Tensor
    average: Tensor
    which: Tensor


class Forward:
    """One forward pass. All images are ``n x h x w x c``.

    Args:
        cell: the cell; its running statistics are updated in train mode.
        active: operations that are computed.
        inputs: both inputs, ``batch x C x h x w``.
        mixture: ``14 x 8`` weights; None for ones.
        strided: by row, what its strided skip gives.
    """

    def __init__(
        self,
        cell: StackedCell,
        active: Active,
        inputs: tuple[Tensor, Tensor],
        mixture: Tensor | None,
        strided: dict[int, Tensor],
    ) -> None:
        self.cell = cell
        self.active = active
        self.training = cell.training
        self.like = inputs[0]
        self.mixture = None if mixture is None else mixture.detach().double()
        self.strided = {row: nhwc(value) for row, value in strided.items()}
        self.states = [nhwc(x) for x in inputs]
        n, h, w, c = self.states[0].shape
        self.inner = Geometry(n, h, w, c, stride=cell.stride(0)).out_shape  # of the nodes
        self.taken: list[Tensor] = []  # from the workspace
        self.buffer = torch.empty(*self.inner[:3], NODES * c, dtype=self.like.dtype)
        self.states += [self.buffer[..., i * c : (i + 1) * c] for i in range(NODES)]
        self.moments = torch.zeros(IDENTITY, 2, c, dtype=torch.float64)
        self.scale = torch.ones(IDENTITY + 1, c, dtype=torch.float64)
        self.shift = torch.zeros(IDENTITY + 1, c, dtype=torch.float64)
        self.used = torch.zeros(IDENTITY, dtype=torch.float64)  # 1 for the norms on an active operation
        self.blocks: dict[tuple[int, str], Convolution] = {}  # by row and name
        self.pools: dict[int, Pools] = {}  # by source

    def new(self, shape: Sequence[int]) -> Tensor:
        self.taken.append(self.cell.workspace.take(shape, self.like.dtype))
        return self.taken[-1]

    def release(self) -> None:
        """Give the tensors that were kept for the backward pass to the next step."""
        self.cell.workspace.give_back(self.taken)
        self.taken = []

    def geometry(self, source: int, *, second: bool) -> Geometry:
        """Of the first or second blocks of the edges that leave a node."""
        n, h, w, c = self.inner if second else self.states[source].shape
        return Geometry(n, h, w, c, 1 if second else self.cell.stride(source))

    def typed(self, values: Tensor) -> Tensor:
        return values.to(self.like.dtype).contiguous()

    def run(self) -> Tensor:
        """The nodes, ``batch x 4C x h x w`` in channels_last."""
        if not self.training:
            self._use_running_statistics()
        for source in SOURCES:
            if source >= 2:
                self._sum_into(source)
            self._leave(source)
        self._sum_into(1 + NODES)
        if self.training:
            self._update_running_statistics()
        return self.buffer.permute(0, 3, 1, 2)

    def _leave(self, source: int) -> None:
        """All operations of the edges that leave a node."""
        state = self.states[source]
        used = {operation for row in LEAVING[source] for operation in self.active[row]}
        pools = sorted(used & {OPERATIONS.index(name) for name in POOLS})
        if pools:
            self.pools[source] = self._pool(source)
        self._normalise([pool_row(operation, source) for operation in pools])
        for second in (False, True):  # the second block needs the statistics of the first
            wanted = [
                (row, block)
                for row in LEAVING[source]
                for block in BLOCKS
                if block.operation in self.active[row] and block.second == second
            ]
            if wanted:
                blocks = [self._block(block, row, state) for row, block in wanted]
                kernels.blocks_forward(self.geometry(source, second=second), blocks)
                self._normalise([block_row(block, row) for row, block in wanted])

    def _block(self, block: Block, row: int, state: Tensor) -> Convolution:
        depthwise, pointwise = self.cell.weights(block, row)
        x, scale, shift = self._input(block, row, state)
        made = Convolution(
            x,
            depthwise,
            pointwise,
            self.new(self.inner),
            block.dilation,
            scale,
            shift,
            self.moments[block_row(block, row)] if self.training else None,
        )
        self.blocks[row, block.name] = made
        return made

    def _input(self, block: Block, row: int, state: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """A block's input, with the batch norm that lies between it and the block."""
        if not block.second:
            return state, None, None
        before = blocks_of(block.operation)[0]
        index = block_row(before, row)
        return (
            self.blocks[row, before.name].z,
            self.typed(self.scale[index]),
            self.typed(self.shift[index]),
        )

    def _pool(self, source: int) -> Pools:
        state = self.states[source]
        n, h, w, c = state.shape
        geometry = Geometry(n, h, w, c, stride=self.cell.stride(source))
        shape = geometry.out_shape
        pools = Pools(geometry, self.new(shape), self.new(shape), self.new(shape))
        sums = torch.empty(4, shape[3], dtype=torch.float64) if self.training else None
        kernels.pool_forward(
            geometry,
            state,
            highest=pools.highest,
            average=pools.average,
            which=pools.which,
            moments=sums,
        )
        if sums is not None:
            for index, name in enumerate(POOLS):
                row = pool_row(OPERATIONS.index(name), source)
                self.moments[row] = sums[2 * index : 2 * index + 2]
        return pools

    def count(self) -> int:
        n, h, w, _ = self.inner
        return n * h * w

    def _normalise(self, rows: list[int]) -> None:
        """Scale and shift of batch norm from the sums over the batch."""
        if self.training and rows:
            mean, variance = self._statistics(rows)
            self.scale[rows] = (variance + _epsilon(self.cell)).rsqrt()
            self.shift[rows] = -mean * self.scale[rows]
            self.used[rows] = 1.0

    def _statistics(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        mean, square = (self.moments[rows] / self.count()).unbind(1)
        return mean, (square - mean * mean).clamp_min(0)

    def _norms(self) -> list[nn.BatchNorm2d]:
        norms = [*(self.cell.norms[block.name] for block in BLOCKS), *self.cell.pool_norms.values()]
        return [norm for norm in norms if isinstance(norm, nn.BatchNorm2d)]

    def _use_running_statistics(self) -> None:
        width = self.cell.width
        mean, variance = (
            torch.cat([_buffer(norm, name).view(-1, width) for norm in self._norms()]).double()
            for name in ("running_mean", "running_var")
        )
        self.scale[:-1] = (variance + _epsilon(self.cell)).rsqrt()
        self.shift[:-1] = -mean * self.scale[:-1]

    def _update_running_statistics(self) -> None:
        mean, variance = self._statistics(list(range(IDENTITY)))
        variance *= self.count() / max(self.count() - 1, 1)  # unbiased, as PyTorch keeps it
        first = 0
        for norm in self._norms():
            assert norm.momentum is not None
            rows = norm.num_features // self.cell.width
            part = slice(first, first + rows)
            momentum = self.used[part, None] * norm.momentum
            for name, fresh in (("running_mean", mean), ("running_var", variance)):
                known = _buffer(norm, name).view(rows, -1)
                known.copy_(torch.lerp(known.double(), fresh[part], momentum))
            first += rows

    def outputs(self, row: int) -> list[Output]:
        """The outputs of an edge's active operations."""
        source = EDGES[row][0]
        found = []
        for operation in self.active[row]:
            if OPERATIONS[operation] in POOLS:
                pools = self.pools[source]
                value = pools.highest if operation == 1 else pools.average
                found.append(Output(operation, value, pool_row(operation, source)))
            elif operation == SKIP:
                found.append(Output(operation, self.strided.get(row, self.states[source]), IDENTITY))
            else:
                block = blocks_of(operation)[-1]
                value = self.blocks[row, block.name].z
                found.append(Output(operation, value, block_row(block, row)))
        return found

    def weights(self, row: int, outputs: Sequence[Output]) -> Tensor:
        if self.mixture is None:
            return torch.ones(len(outputs), dtype=torch.float64)
        return self.mixture[row, [output.operation for output in outputs]]

    def _sum_into(self, node: int) -> None:
        values, factors, shifts = [], [], []
        for row, (_, target) in enumerate(EDGES):
            if target == node and self.active[row]:
                outputs = self.outputs(row)
                rows = [output.row for output in outputs]
                weights = self.weights(row, outputs)[:, None]
                values += [output.value for output in outputs]
                factors.append(weights * self.scale[rows])
                shifts.append((weights * self.shift[rows]).sum(0))
        kernels.combine(
            values,
            self.typed(torch.cat(factors)),
            out=self.states[node],
            shift=self.typed(torch.stack(shifts).sum(0)),
        )


def nhwc(x: Tensor) -> Tensor:
    """``batch x c x h x w`` as ``batch x h x w x c``, contiguous."""
    return x.detach().contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).contiguous()


def _epsilon(cell: StackedCell) -> float:
    norm = cell.norms[BLOCKS[0].name]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm.eps


def _buffer(norm: nn.BatchNorm2d, name: str) -> Tensor:
    found = getattr(norm, name)
    assert isinstance(found, Tensor)
    return found
