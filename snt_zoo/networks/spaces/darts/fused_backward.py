"""The backward pass of a mixed DARTS cell by the compiled kernels; the mathematics is in `fused_cell`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snt_zoo.networks.spaces.darts import kernels
from snt_zoo.networks.spaces.darts.fused_forward import (
    IDENTITY,
    Forward,
    Output,
    block_row,
    nhwc,
)
from snt_zoo.networks.spaces.darts.layout import (
    BLOCKS,
    EDGES,
    LEAVING,
    NODES,
    OPERATIONS,
    POOLS,
    SKIP,
    SOURCES,
    Block,
    blocks_of,
)
from snt_zoo.networks.spaces.darts.operations import stack_of, sum_of


class Backward:
    """The gradients of one forward pass.

    Args:
        forward: the pass, with what it kept.
        grad: gradient of the nodes, ``batch x 4C x h x w``.
        weights: whether the gradients of the convolutions' weights are wanted.
    """

    def __init__(self, forward: Forward, grad: Tensor, *, weights: bool) -> None:
        self.forward = forward
        c = forward.cell.width
        of_nodes = nhwc(grad)
        self.grads = [torch.zeros_like(state) for state in forward.states[:2]]
        for i in range(NODES):
            self.grads.append(forward.new(forward.inner).copy_(of_nodes[..., i * c : (i + 1) * c]))
        self.grad_mixture = torch.zeros(len(EDGES), len(OPERATIONS), dtype=torch.float64)
        self.grad_strided: dict[int, Tensor] = {}
        self.grad_weights: list[dict[str, Tensor]] = []
        if weights:
            for group in (forward.cell.depthwise, forward.cell.pointwise):
                self.grad_weights.append(
                    {
                        b.name: torch.zeros_like(stack_of(group, b), dtype=torch.float64).contiguous()
                        for b in BLOCKS
                    }
                )
        self.between = forward.new(forward.inner)  # gradient between the two blocks of an operation

    def run(self) -> tuple[Tensor | None, ...]:
        """Gradients of both inputs, the mixture, the stacked weights and the strided skips."""
        for source in reversed(SOURCES):
            self._return_to(source)
        dtype = self.forward.like.dtype
        stacks = [
            self.grad_weights[group][block.name].to(dtype) if self.grad_weights else None
            for group in range(2)
            for block in BLOCKS
        ]
        return (
            *(g.permute(0, 3, 1, 2) for g in self.grads[:2]),
            None if self.forward.mixture is None else self.grad_mixture.to(dtype),
            *stacks,
            *(self.grad_strided[row].permute(0, 3, 1, 2) for row in self.forward.strided),
        )

    def _return_to(self, source: int) -> None:
        """Gradients of all operations of the edges that leave a node, and of the node."""
        pooled: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {}
        skipped: list[tuple[Tensor, Tensor]] = []
        for row in LEAVING[source]:
            outputs = self.forward.outputs(row)
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
                elif row in self.forward.strided:
                    self.grad_strided[row] = grad * self.forward.typed(from_grad[index])
                else:
                    skipped.append((grad, from_grad[index]))
        if skipped:
            factors = self.forward.typed(torch.stack([factor for _, factor in skipped]))
            kernels.combine([g for g, _ in skipped], factors, out=self.grads[source], accumulate=True)
        if pooled:
            self._pool_backward(source, pooled)

    def _through_norms(
        self, row: int, outputs: Sequence[Output], grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of the gradients before the norms, ``outputs x c``: of grad, of z, and constants."""
        rows = [output.row for output in outputs]
        scale, shift = self.forward.scale[rows], self.forward.shift[rows]
        sums = torch.empty(len(outputs) + 1, self.forward.cell.width, dtype=torch.float64)
        values = [output.value for output in outputs]
        kernels.combine_backward(
            values, self.forward.typed(scale), self.forward.typed(shift), grad=grad, sums=sums
        )
        for output, sum_ in zip(outputs, sums, strict=False):
            self.grad_mixture[row, output.operation] = sum_.sum()
        from_grad = self.forward.weights(row, outputs)[:, None] * scale
        if not self.forward.training:
            return from_grad, torch.zeros_like(scale), torch.zeros_like(scale)
        means = sums / self.forward.count()
        normed = torch.tensor([[output.row != IDENTITY] for output in outputs], dtype=torch.float64)
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
            moments = torch.empty(2, self.forward.cell.width, dtype=torch.float64)
            self._block_backward(second, row, grad, coefficients, self.between, moments)
            scale, shift = (
                self.forward.scale[block_row(first, row)],
                self.forward.shift[block_row(first, row)],
            )
            mean, mean_normal = (
                moments / self.forward.count() if self.forward.training else torch.zeros_like(moments)
            )
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
        x, scale, shift = self.forward.input(block, row, self.forward.states[source])
        from_grad, from_z, constant = map(self.forward.typed, coefficients)
        place = self.forward.cell.rows(row)
        depthwise, pointwise = self.forward.cell.weights(block, row)
        kernels.block_backward(
            self.forward.geometry(block, source),
            x,
            depthwise,
            pointwise,
            grad=grad,
            from_grad=from_grad,
            z=self.forward.values[row, block.name],
            grad_x=grad_x,
            accumulate=not block.second,
            from_z=from_z if self.forward.training else None,
            constant=constant if self.forward.training else None,
            scale=scale,
            shift=shift,
            grad_x_moments=moments,
            grad_depthwise=self.grad_weights[0][block.name][place] if self.grad_weights else None,
            grad_pointwise=self.grad_weights[1][block.name][place] if self.grad_weights else None,
        )

    def _pool_backward(
        self, source: int, pooled: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]]
    ) -> None:
        pools = self.forward.pools[source]
        grads = {}
        for operation, value in ((1, pools.highest), (2, pools.average)):
            grads[operation] = self.forward.new(value.shape)
            if operation not in pooled:
                grads[operation].zero_()
            else:
                terms = pooled[operation]
                factors = torch.stack([*(f for _, f, _, _ in terms), sum_of(z for _, _, z, _ in terms)])
                kernels.combine(
                    [*(g for g, _, _, _ in terms), value],
                    self.forward.typed(factors),
                    out=grads[operation],
                    shift=self.forward.typed(sum_of(constant for _, _, _, constant in terms)),
                )
        kernels.pool_backward(pools.geometry, grads[1], grads[2], pools.which, grad_x=self.grads[source])
