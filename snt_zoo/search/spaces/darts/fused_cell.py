"""A mixed DARTS cell by the compiled kernels, forward and backward.

The forward pass keeps what the convolutions give before batch norm, and nothing else: normalised outputs,
ReLUs, depthwise outputs and weighted outputs are never written. With ẑ = (z − μ)/σ the normalised output of
an operation, a its weight and g the gradient of the node that sums them, batch norm's gradient is

    dz = a/σ · (g − mean(g) − ẑ · mean(g ẑ)),

so one pass over the outputs of an edge gives the sums that batch norm needs, and from the same sums the
gradients of the alphas: da = Σ g ẑ. In eval mode the means fall away. `block_backward` evaluates dz on the fly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from snt_zoo.search import kernels
from snt_zoo.search.kernels import Geometry
from snt_zoo.search.spaces.darts.layout import (
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
from snt_zoo.search.spaces.darts.operations import sum_of

if TYPE_CHECKING:
    from snt_zoo.search.spaces.darts.mixed_cell import MixedCell

# Every normalised tensor has a row of scale and shift: a block of an edge, a pool of a source. The last row
# is the identity, of tensors that are used as they are.
_POOL_ROWS = len(BLOCKS) * len(EDGES)
_IDENTITY = _POOL_ROWS + len(POOLS) * len(SOURCES)


def _block_row(block: Block, row: int) -> int:
    return BLOCKS.index(block) * len(EDGES) + PLACE[row]


def _pool_row(operation: int, source: int) -> int:
    return _POOL_ROWS + POOLS.index(OPERATIONS[operation]) * len(SOURCES) + source


def fused_cell(
    cell: MixedCell, active: Active, first: Tensor, second: Tensor, mixture: Tensor | None
) -> Tensor:
    """Both inputs, ``batch x C x h x w``, to ``batch x 4C x h' x w'``; see `MixedCell.forward`."""
    skips = {}
    for row, operations in enumerate(active):
        strided = cell.skip(row)
        if SKIP in operations and strided is not None:
            skips[row] = strided((first, second)[EDGES[row][0]])
    weights = [group[block.name].weight for group in (cell.depthwise, cell.pointwise) for block in BLOCKS]
    out: Tensor = _FusedCell.apply(
        cell, active, tuple(skips), first, second, mixture, *weights, *skips.values()
    )
    return out


class _FusedCell(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: MixedCell,
        active: Active,
        skip_rows: tuple[int, ...],
        first: Tensor,
        second: Tensor,
        mixture: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        strided = dict(zip(skip_rows, tensors[2 * len(BLOCKS) :], strict=True))
        run = _Pass(cell, active, (first, second), mixture, strided)
        out = run.forward()
        if any(ctx.needs_input_grad):
            ctx.run = run
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if ctx.run is None:
            raise RuntimeError("the graph of a fused cell can be differentiated once: run it forward again")
        run, ctx.run = ctx.run, None
        weights = any(ctx.needs_input_grad[6 : 6 + 2 * len(BLOCKS)])
        return (None, None, None, *run.backward(grad, weights=weights))


class _Output(NamedTuple):
    """What an operation gives: its value before batch norm, and the row of its scale and shift."""

    operation: int
    value: Tensor
    row: int


@dataclass
class _Pools:
    """Both pools of a source."""

    geometry: Geometry
    highest: Tensor
    average: Tensor
    which: Tensor


class _Pass:
    """One forward pass and its backward pass. All images are ``n x h x w x c``."""

    def __init__(
        self,
        cell: MixedCell,
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
        self.strided = {row: _nhwc(value) for row, value in strided.items()}
        self.states = [_nhwc(x) for x in inputs]
        n, h, w, c = self.states[0].shape
        self.inner = Geometry(n, h, w, c, stride=cell.stride(0)).out_shape  # of the nodes
        self.buffer = self._new((*self.inner[:3], NODES * c))
        self.states += [self.buffer[..., i * c : (i + 1) * c] for i in range(NODES)]
        self.moments = torch.zeros(_IDENTITY, 2, c, dtype=torch.float64)
        self.scale = torch.ones(_IDENTITY + 1, c, dtype=torch.float64)
        self.shift = torch.zeros(_IDENTITY + 1, c, dtype=torch.float64)
        self.used = torch.zeros(_IDENTITY, dtype=torch.float64)  # 1 for the norms on an active operation
        self.outputs: dict[tuple[int, str], Tensor] = {}  # by row and block
        self.pools: dict[int, _Pools] = {}  # by source

    def _new(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(tuple(shape), dtype=self.like.dtype)

    def _geometry(self, block: Block, source: int) -> Geometry:
        shape = self.inner if block.second else self.states[source].shape
        stride = 1 if block.second else self.cell.stride(source)
        return Geometry(*shape, kernel=block.kernel, stride=stride, dilation=block.dilation)

    def _typed(self, values: Tensor) -> Tensor:
        return values.to(self.like.dtype).contiguous()

    # Forward

    def forward(self) -> Tensor:
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
        fresh = []
        if used & {OPERATIONS.index(name) for name in POOLS}:
            self.pools[source] = self._pool(source)
            fresh += [_pool_row(OPERATIONS.index(name), source) for name in POOLS]
        for second in (False, True):  # the second block needs the statistics of the first
            for row in LEAVING[source]:
                for block in BLOCKS:
                    if block.operation in self.active[row] and block.second == second:
                        self._block(block, row, state)
                        fresh.append(_block_row(block, row))
            self._normalise(fresh)
            fresh = []

    def _block(self, block: Block, row: int, state: Tensor) -> None:
        depthwise, pointwise = self.cell.weights(block, row)
        geometry = self._geometry(block, EDGES[row][0])
        out = self._new(geometry.out_shape)
        x, scale, shift = self._input(block, row, state)
        kernels.block_forward(
            geometry,
            x,
            depthwise,
            pointwise,
            out=out,
            scale=scale,
            shift=shift,
            moments=self.moments[_block_row(block, row)] if self.training else None,
        )
        self.outputs[row, block.name] = out

    def _input(self, block: Block, row: int, state: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """A block's input, with the batch norm that lies between it and the block."""
        if not block.second:
            return state, None, None
        before = blocks_of(block.operation)[0]
        index = _block_row(before, row)
        return (
            self.outputs[row, before.name],
            self._typed(self.scale[index]),
            self._typed(self.shift[index]),
        )

    def _pool(self, source: int) -> _Pools:
        state = self.states[source]
        geometry = Geometry(*state.shape, stride=self.cell.stride(source))
        shape = geometry.out_shape
        pools = _Pools(geometry, self._new(shape), self._new(shape), torch.empty(shape, dtype=torch.uint8))
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
                row = _pool_row(OPERATIONS.index(name), source)
                self.moments[row] = sums[2 * index : 2 * index + 2]
        return pools

    def _count(self) -> int:
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
        mean, square = (self.moments[rows] / self._count()).unbind(1)
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
        mean, variance = self._statistics(list(range(_IDENTITY)))
        variance *= self._count() / max(self._count() - 1, 1)  # unbiased, as PyTorch keeps it
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

    def _outputs(self, row: int) -> list[_Output]:
        """The outputs of an edge's active operations."""
        source = EDGES[row][0]
        found = []
        for operation in self.active[row]:
            if OPERATIONS[operation] in POOLS:
                pools = self.pools[source]
                value = pools.highest if operation == 1 else pools.average
                found.append(_Output(operation, value, _pool_row(operation, source)))
            elif operation == SKIP:
                found.append(_Output(operation, self.strided.get(row, self.states[source]), _IDENTITY))
            else:
                block = blocks_of(operation)[-1]
                value = self.outputs[row, block.name]
                found.append(_Output(operation, value, _block_row(block, row)))
        return found

    def _weights(self, row: int, outputs: Sequence[_Output]) -> Tensor:
        if self.mixture is None:
            return torch.ones(len(outputs), dtype=torch.float64)
        return self.mixture[row, [output.operation for output in outputs]]

    def _sum_into(self, node: int) -> None:
        values, factors, shifts = [], [], []
        for row, (_, target) in enumerate(EDGES):
            if target == node and self.active[row]:
                outputs = self._outputs(row)
                rows = [output.row for output in outputs]
                weights = self._weights(row, outputs)[:, None]
                values += [output.value for output in outputs]
                factors.append(weights * self.scale[rows])
                shifts.append((weights * self.shift[rows]).sum(0))
        kernels.combine(
            values,
            self._typed(torch.cat(factors)),
            out=self.states[node],
            shift=self._typed(torch.stack(shifts).sum(0)),
        )

    # Backward

    def backward(self, grad: Tensor, *, weights: bool) -> tuple[Tensor | None, ...]:
        """Gradients of both inputs, the mixture, the stacked weights and the strided skips."""
        c = self.cell.width
        of_nodes = _nhwc(grad)
        self.grads = [torch.zeros_like(state) for state in self.states[:2]]
        self.grads += [of_nodes[..., i * c : (i + 1) * c].contiguous() for i in range(NODES)]
        self.grad_mixture = torch.zeros(len(EDGES), len(OPERATIONS), dtype=torch.float64)
        self.grad_strided: dict[int, Tensor] = {}
        self.grad_weights: list[dict[str, Tensor]] = []
        if weights:
            for group in (self.cell.depthwise, self.cell.pointwise):
                self.grad_weights.append(
                    {b.name: torch.zeros(group[b.name].weight.shape, dtype=torch.float64) for b in BLOCKS}
                )
        self.between = self._new(self.inner)  # gradient between the two blocks of an operation
        for source in reversed(SOURCES):
            self._return_to(source)
        dtype = self.like.dtype
        stacks = [
            self.grad_weights[group][block.name].to(dtype) if weights else None
            for group in range(2)
            for block in BLOCKS
        ]
        return (
            *(g.permute(0, 3, 1, 2) for g in self.grads[:2]),
            None if self.mixture is None else self.grad_mixture.to(dtype),
            *stacks,
            *(self.grad_strided[row].permute(0, 3, 1, 2) for row in self.strided),
        )

    def _return_to(self, source: int) -> None:
        """Gradients of all operations of the edges that leave a node, and of the node."""
        pooled: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {}
        skipped: list[tuple[Tensor, Tensor]] = []
        for row in LEAVING[source]:
            outputs = self._outputs(row)
            if not outputs:
                continue
            grad = self.grads[EDGES[row][1]]
            from_grad, from_z, constant = self._through_norms(row, outputs, grad)
            for index, output in enumerate(outputs):
                coefficients = from_grad[index], from_z[index], constant[index]
                if OPERATIONS[output.operation] in POOLS:
                    pooled.setdefault(output.operation, []).append((grad, *coefficients))
                elif output.operation != SKIP:
                    self._convolution_backward(output.operation, row, grad, coefficients)
                elif row in self.strided:
                    self.grad_strided[row] = grad * self._typed(from_grad[index])
                else:
                    skipped.append((grad, from_grad[index]))
        if skipped:
            factors = self._typed(torch.stack([factor for _, factor in skipped]))
            kernels.combine([g for g, _ in skipped], factors, out=self.grads[source], accumulate=True)
        if pooled:
            self._pool_backward(source, pooled)

    def _through_norms(
        self, row: int, outputs: Sequence[_Output], grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of the gradients before the norms, ``outputs x c``: of grad, of z, and constants."""
        rows = [output.row for output in outputs]
        scale, shift = self.scale[rows], self.shift[rows]
        sums = torch.empty(len(outputs) + 1, self.cell.width, dtype=torch.float64)
        values = [output.value for output in outputs]
        kernels.combine_backward(values, self._typed(scale), self._typed(shift), grad=grad, sums=sums)
        for output, sum_ in zip(outputs, sums, strict=False):
            self.grad_mixture[row, output.operation] = sum_.sum()
        from_grad = self._weights(row, outputs)[:, None] * scale
        if not self.training:
            return from_grad, torch.zeros_like(scale), torch.zeros_like(scale)
        means = sums / self._count()
        normed = torch.tensor([[output.row != _IDENTITY] for output in outputs], dtype=torch.float64)
        from_z = -from_grad * means[:-1] * scale * normed
        constant = -from_grad * (means[:-1] * shift + means[-1]) * normed
        return from_grad, from_z, constant

    def _convolution_backward(
        self, operation: int, row: int, grad: Tensor, coefficients: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        source = EDGES[row][0]
        blocks = blocks_of(operation)
        if len(blocks) == 2:
            first, second = blocks
            moments = torch.empty(2, self.cell.width, dtype=torch.float64)
            self._block_backward(second, row, grad, coefficients, self.between, moments)
            scale, shift = self.scale[_block_row(first, row)], self.shift[_block_row(first, row)]
            mean, mean_normal = moments / self._count() if self.training else torch.zeros_like(moments)
            coefficients = scale, -scale * mean_normal * scale, -scale * (mean_normal * shift + mean)
            grad = self.between
        self._block_backward(blocks[0], row, grad, coefficients, self.grads[source], None)

    def _block_backward(
        self,
        block: Block,
        row: int,
        grad: Tensor,
        coefficients: tuple[Tensor, Tensor, Tensor],
        grad_x: Tensor,
        moments: Tensor | None,
    ) -> None:
        source = EDGES[row][0]
        x, scale, shift = self._input(block, row, self.states[source])
        from_grad, from_z, constant = map(self._typed, coefficients)
        place = self.cell.rows(row)
        depthwise, pointwise = self.cell.weights(block, row)
        kernels.block_backward(
            self._geometry(block, source),
            x,
            depthwise,
            pointwise,
            grad=grad,
            from_grad=from_grad,
            z=self.outputs[row, block.name],
            grad_x=grad_x,
            accumulate=not block.second,
            from_z=from_z if self.training else None,
            constant=constant if self.training else None,
            scale=scale,
            shift=shift,
            grad_x_moments=moments,
            grad_depthwise=self.grad_weights[0][block.name][place] if self.grad_weights else None,
            grad_pointwise=self.grad_weights[1][block.name][place] if self.grad_weights else None,
        )

    def _pool_backward(
        self, source: int, pooled: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]]
    ) -> None:
        pools = self.pools[source]
        grads = {}
        for operation, value in ((1, pools.highest), (2, pools.average)):
            grads[operation] = torch.zeros_like(value)
            if operation in pooled:
                terms = pooled[operation]
                factors = torch.stack([*(f for _, f, _, _ in terms), sum_of(z for _, _, z, _ in terms)])
                kernels.combine(
                    [*(g for g, _, _, _ in terms), value],
                    self._typed(factors),
                    out=grads[operation],
                    shift=self._typed(sum_of(constant for _, _, _, constant in terms)),
                )
        kernels.pool_backward(pools.geometry, grads[1], grads[2], pools.which, grad_x=self.grads[source])


def _nhwc(x: Tensor) -> Tensor:
    """``batch x c x h x w`` as ``batch x h x w x c``, contiguous."""
    return x.detach().contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).contiguous()


def _epsilon(cell: MixedCell) -> float:
    norm = cell.norms[BLOCKS[0].name]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm.eps


def _buffer(norm: nn.BatchNorm2d, name: str) -> Tensor:
    found = getattr(norm, name)
    assert isinstance(found, Tensor)
    return found
