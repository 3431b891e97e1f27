"""The backward pass of a mixed DARTS cell by the compiled kernels; the mathematics is in `fused_cell`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import Gradient
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
        rows = [row for row in LEAVING[source] if self.forward.active[row]]
        outputs = [(row, output) for row in rows for output in self.forward.outputs(row)]
        if not outputs:
            return
        from_grad, from_z, constant = self._through_norms(rows, outputs)
        typed = [self.forward.typed(part) for part in (from_grad, from_z, constant)]
        convolved: dict[tuple[int, int], tuple[Tensor, ...]] = {}
        pooled: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {}
        skipped: list[tuple[Tensor, Tensor]] = []
        for index, (row, output) in enumerate(outputs):
            grad = self.grads[EDGES[row][1]]
            if OPERATIONS[output.operation] in POOLS:
                pooled.setdefault(output.operation, []).append(
                    (grad, from_grad[index], from_z[index], constant[index])
                )
            elif output.operation != SKIP:
                convolved[row, output.operation] = (grad, *(part[index] for part in typed))
            elif row in self.forward.strided:
                self.grad_strided[row] = grad * typed[0][index]
            else:
                skipped.append((grad, typed[0][index]))
        if skipped:
            factors = torch.stack([factor for _, factor in skipped])
            kernels.combine([g for g, _ in skipped], factors, out=self.grads[source], accumulate=True)
        if convolved:
            self._convolutions_backward(source, convolved)
        if pooled:
            self._pool_backward(source, pooled)

    def _through_norms(
        self, edges: Sequence[int], outputs: Sequence[tuple[int, Output]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of the gradients before the norms, ``outputs x c``: of grad, of z, and constants."""
        rows = [output.row for _, output in outputs]
        of = [edges.index(row) for row, _ in outputs]
        scale, shift = self.forward.scale[rows], self.forward.shift[rows]
        sums = torch.empty(len(outputs) + len(edges), self.forward.cell.width, dtype=torch.float64)
        kernels.combine_backward(
            [output.value for _, output in outputs],
            self.forward.typed(scale),
            self.forward.typed(shift),
            grads=[self.grads[EDGES[row][1]] for row in edges],
            of=of,
            sums=sums,
        )
        places = [row for row, _ in outputs], [output.operation for _, output in outputs]
        self.grad_mixture[places] = sums[: len(outputs)].sum(1)
        from_grad = scale
        if self.forward.mixture is not None:
            from_grad = self.forward.mixture[places][:, None] * scale
        if not self.forward.training:
            return from_grad, torch.zeros_like(scale), torch.zeros_like(scale)
        means = sums / self.forward.count()
        normed = torch.tensor([[row != IDENTITY] for row in rows], dtype=torch.float64)
        from_z = -from_grad * means[: len(outputs)] * scale * normed
        mean_grad = means[len(outputs) :][of]
        constant = -from_grad * (means[: len(outputs)] * shift + mean_grad) * normed
        return from_grad, from_z, constant

    def _convolutions_backward(
        self, source: int, gradients: dict[tuple[int, int], tuple[Tensor, ...]]
    ) -> None:
        """By row and operation, the gradient of what it gives and the coefficients."""
        forward = self.forward
        twice = [key for key in gradients if len(blocks_of(key[1])) == 2]
        if twice:
            firsts = [block_row(blocks_of(operation)[0], row) for row, operation in twice]
            moments = torch.zeros(len(twice), 2, forward.cell.width, dtype=torch.float64)
            seconds = [(blocks_of(operation)[1], row) for row, operation in twice]
            between = [forward.blocks[row, block.name].z for block, row in seconds]  # each is needed no more
            self._blocks_backward(
                seconds,
                source,
                [gradients[key] for key in twice],
                between,
                moments if forward.training else None,
            )
            mean, mean_normal = (moments / forward.count()).unbind(1)
            scale, shift = forward.scale[firsts], forward.shift[firsts]
            coefficients = scale, -scale * mean_normal * scale, -scale * (mean_normal * shift + mean)
            typed = [forward.typed(part) for part in coefficients]
            for index, key in enumerate(twice):
                gradients[key] = (between[index], *(part[index] for part in typed))
        blocks = [(blocks_of(operation)[0], row) for row, operation in gradients]
        into = [self.grads[source]] * len(blocks)
        self._blocks_backward(blocks, source, list(gradients.values()), into, None)

    def _blocks_backward(
        self,
        blocks: Sequence[tuple[Block, int]],
        source: int,
        gradients: Sequence[tuple[Tensor, ...]],
        into: Sequence[Tensor],
        moments: Tensor | None,
    ) -> None:
        forward = self.forward
        second = blocks[0][0].second
        made = []
        for index, (block, row) in enumerate(blocks):
            grad, from_grad, from_z, constant = gradients[index]
            place = forward.cell.rows(row)
            made.append(
                Gradient(
                    grad,
                    from_grad,
                    into[index],
                    accumulate=not second,
                    from_z=from_z if forward.training else None,
                    constant=constant if forward.training else None,
                    grad_x_moments=None if moments is None else moments[index],
                    grad_depthwise=self.grad_weights[0][block.name][place] if self.grad_weights else None,
                    grad_pointwise=self.grad_weights[1][block.name][place] if self.grad_weights else None,
                )
            )
        convolutions = [forward.blocks[row, block.name] for block, row in blocks]
        kernels.blocks_backward(forward.geometry(source, second=second), convolutions, made)

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
