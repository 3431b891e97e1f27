"""A mixed DARTS cell by the compiled kernels, forward and backward.

The forward pass keeps what the convolutions give before batch norm, and nothing else: normalised outputs,
ReLUs, depthwise outputs and weighted outputs are never written. With ẑ = (z − μ)/σ the normalised output of
an operation, a its weight and g the gradient of the node that sums them, batch norm's gradient is

    dz = a/σ · (g − mean(g) − ẑ · mean(g ẑ)),

so one pass over the outputs of an edge gives the sums that batch norm needs, and from the same sums the
gradients of the alphas: da = Σ g ẑ. In eval mode the means fall away. `blocks_backward` evaluates dz on the
fly.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from snt_zoo.networks.spaces.darts.fused_backward import Backward
from snt_zoo.networks.spaces.darts.fused_forward import Forward
from snt_zoo.networks.spaces.darts.layout import BLOCKS, EDGES, SKIP, Active
from snt_zoo.networks.spaces.darts.operations import stack_of
from snt_zoo.networks.spaces.darts.stacked_cell import StackedCell


def fused_cell(
    cell: StackedCell, active: Active, first: Tensor, second: Tensor, mixture: Tensor | None
) -> Tensor:
    """Both inputs, ``batch x C x h x w``, to ``batch x 4C x h' x w'``; see `MixedCell.forward`."""
    skips = {}
    for row, operations in enumerate(active):
        strided = cell.skip(row)
        if SKIP in operations and strided is not None:
            skips[row] = strided((first, second)[EDGES[row][0]])
    weights = [stack_of(group, block) for group in (cell.depthwise, cell.pointwise) for block in BLOCKS]
    out: Tensor = _FusedCell.apply(
        cell, active, tuple(skips), first, second, mixture, *weights, *skips.values()
    )
    return out


class _FusedCell(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: StackedCell,
        active: Active,
        skip_rows: tuple[int, ...],
        first: Tensor,
        second: Tensor,
        mixture: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        strided = dict(zip(skip_rows, tensors[2 * len(BLOCKS) :], strict=True))
        forward = Forward(cell, active, (first, second), mixture, strided)
        out = forward.run()
        if any(ctx.needs_input_grad):
            ctx.forward_pass = forward
        else:
            forward.release()
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if ctx.forward_pass is None:
            raise RuntimeError("the graph of a fused cell can be differentiated once: run it forward again")
        forward, ctx.forward_pass = ctx.forward_pass, None
        weights = any(ctx.needs_input_grad[6 : 6 + 2 * len(BLOCKS)])
        grads = Backward(forward, grad, weights=weights).run()
        forward.release()
        return (None, None, None, *grads)
