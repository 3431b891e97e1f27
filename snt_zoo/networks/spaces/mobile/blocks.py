"""Inverted residual blocks: elastic ones, whose nine choices are views of one set of weights, and plain ones.

A choice of kernel k and expansion e uses the centre k×k of the 7×7 depthwise kernel, and the first e·C of
the 6·C expanded channels (Cai et al., ICLR 2020, arXiv 1908.09791, section 3.3).

All nine cost little more than the largest. The expansion is computed once, each kernel once over all
channels, and the projection of e channels is that of fewer channels plus the rest:
P[:, :4C] z[:4C] = P[:, :3C] z[:3C] + P[:, 3C:4C] z[3C:4C].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.networks.spaces.base import Rows
from snt_zoo.networks.spaces.mobile.convolution import Convolution, convolve
from snt_zoo.networks.spaces.mobile.norm import SwitchableNorm
from snt_zoo.networks.spaces.mobile.normed import normed, widened
from snt_zoo.networks.spaces.mobile.plan import (
    EXPANSIONS,
    KERNELS,
    OPERATIONS,
    SKIP,
    BlockPlan,
    operation_index,
    shape_of,
)


class ElasticBlock(nn.Module):
    """An inverted residual block with every kernel and expansion in it.

    Args:
        plan: its shape.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        widest, largest = EXPANSIONS[-1] * plan.c_in, KERNELS[-1]
        self.expand = nn.Conv2d(plan.c_in, widest, 1, bias=False)
        # What the expansion gives in one channel depends on no choice, what a kernel gives on the kernel
        # alone, and what the projection gives on both.
        eps = plan.family.eps
        self.expand_norm = SwitchableNorm(widest, eps=eps)
        self.depthwise = nn.Conv2d(
            widest, widest, largest, plan.stride, largest // 2, groups=widest, bias=False
        )
        self.depthwise_norm = SwitchableNorm(widest, len(KERNELS), eps=eps)
        self.project = nn.Conv2d(widest, plan.c_out, 1, bias=False)
        self.project_norm = SwitchableNorm(plan.c_out, SKIP, eps=eps)

    def forward(self, x: Tensor, weights: Tensor | None, choice: int | None = None) -> Tensor:
        """``batch x c_in x h x w`` to ``batch x c_out x h' x w'``, by ``10`` weights, a choice, or both."""
        if choice is None:
            assert weights is not None
            return self._mixed(x, weights)
        if choice == SKIP:
            out = x
        else:
            out = self._path(x, *shape_of(choice))
            if self.plan.keeps_shape:
                out = x + out
        return out if weights is None else out * weights[choice]

    def kernel(self, size: int) -> Tensor:
        """The centre of the depthwise kernel, ``6 c_in x 1 x size x size``."""
        margin = (KERNELS[-1] - size) // 2
        return self.depthwise.weight[:, :, margin : margin + size, margin : margin + size]

    def _depthwise(self, x: Tensor, weight: Tensor) -> Tensor:
        return convolve(x, weight, self.plan.stride, self.plan.family, groups=x.shape[1])

    def _path(self, x: Tensor, expansion: int, kernel: int) -> Tensor:
        n = expansion * self.plan.c_in
        x = functional.conv2d(x, self.expand.weight[:n])
        x = functional.relu6(self.expand_norm(x), inplace=True)
        x = self._depthwise(x, self.kernel(kernel)[:n])
        x = functional.relu6(self.depthwise_norm(x, KERNELS.index(kernel)), inplace=True)
        x = functional.conv2d(x, self.project.weight[:, :n])
        out: Tensor = self.project_norm(x, operation_index(expansion, kernel))
        return out

    def _mixed(self, x: Tensor, weights: Tensor) -> Tensor:
        if not self.plan.keeps_shape:
            weights = without_skip(weights)
        wide = functional.relu6(self.expand_norm(self.expand(x)), inplace=True)
        by_kernel = []
        for index, size in enumerate(KERNELS):
            convolved = self._depthwise(wide, self.kernel(size))
            by_kernel.append(self._projections(functional.relu6(self.depthwise_norm(convolved, index))))
        outputs = [by_kernel[k][e] for e in range(len(EXPANSIONS)) for k in range(len(KERNELS))]
        mixed = self.project_norm.mixed(torch.cat(outputs, dim=1), weights[:SKIP])
        # Every operation, the skip too, passes its input on.
        return torch.addcmul(mixed, x, weights.sum()) if self.plan.keeps_shape else mixed

    def _projections(self, wide: Tensor) -> list[Tensor]:
        """The projections of the first 3·C, 4·C and 6·C channels."""
        # A product of matrices takes a slice of channels where it lies; a convolution would copy it.
        pixels, weight = wide.permute(0, 2, 3, 1), self.project.weight.flatten(1)
        outputs: list[Tensor] = []
        start = 0
        for expansion in EXPANSIONS:
            end = expansion * self.plan.c_in
            part = functional.linear(pixels[..., start:end], weight[:, start:end]).permute(0, 3, 1, 2)
            outputs.append(outputs[-1] + part if outputs else part)
            start = end
        return outputs

    def uses(self, operation: int) -> Sequence[Rows]:
        """The parameters that an operation uses; see `SupernetTrunk.operation_parameters`."""
        rows = slice(0, shape_of(operation)[0] * self.plan.c_in)
        by_channel = (self.expand, self.expand_norm, self.depthwise, self.depthwise_norm)
        whole = (self.project, self.project_norm)
        return [
            *((parameter, rows) for module in by_channel for parameter in module.parameters()),
            *((parameter, None) for module in whole for parameter in module.parameters()),
        ]

    def copy_to(self, plain: InvertedResidual, operation: int) -> None:
        """Give a choice's weights and statistics to its derived block."""
        expansion, kernel = shape_of(operation)
        n = expansion * self.plan.c_in
        plain.expand.weight.copy_(self.expand.weight[:n])
        plain.depthwise.weight.copy_(self.kernel(kernel)[:n])
        plain.project.weight.copy_(self.project.weight[:, :n])
        self.expand_norm.copy_to(plain.expand_norm)
        self.depthwise_norm.copy_to(plain.depthwise_norm, KERNELS.index(kernel))
        self.project_norm.copy_to(plain.project_norm, operation)


def without_skip(weights: Tensor) -> Tensor:
    """Weights of the operations of a block that must not be skipped.

    Args:
        weights: ``10``.

    Returns:
        The same with 0 for the skip, whose share goes to the others: of a softmax the softmax over the
        others, so that the skip's alpha has no gradient. What the weights have above 1 in all is an
        auxiliary skip's (DARTS-), which has no place here either and goes to nobody.
    """
    computing = weights[:SKIP]
    whole = weights.sum().clamp(max=1.0)
    computing = computing * (whole / computing.sum().clamp_min(torch.finfo(weights.dtype).tiny))
    return functional.pad(computing, (0, len(OPERATIONS) - SKIP))


class InvertedResidual(nn.Module):
    """A plain inverted residual block (Sandler et al. 2018, arXiv 1801.04381, section 3.3).

    Args:
        plan: its shape.
        expansion: ratio of the expanded channels to `c_in`.
        kernel: side of the depthwise kernel.
    """

    def __init__(self, plan: BlockPlan, expansion: int, kernel: int) -> None:
        super().__init__()
        self.plan = plan
        wide = expansion * plan.c_in
        self.expand = nn.Conv2d(plan.c_in, wide, 1, bias=False)
        eps = plan.family.eps
        self.expand_norm = nn.BatchNorm2d(wide, eps)
        self.depthwise = Convolution(wide, wide, kernel, plan.stride, plan.family, groups=wide)
        self.depthwise_norm = nn.BatchNorm2d(wide, eps)
        self.project = nn.Conv2d(wide, plan.c_out, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(plan.c_out, eps)

    def forward(self, x: Tensor) -> Tensor:
        """``batch x c_in x h x w`` to ``batch x c_out x h' x w'``."""
        out = widened(self.expand, self.expand_norm, self.depthwise, self.depthwise_norm, x)
        out = normed(self.project, self.project_norm, out)
        return x + out if self.plan.keeps_shape else out
