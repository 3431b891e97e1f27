"""ReLU, convolutions and batch norm in a row by the compiled kernels, forward and backward.

What is kept for the backward pass is what the convolutions give before batch norm. With ẑ = (z − μ)/σ and the
norm's scale γ, an output's gradient g becomes

    dγ = Σ g ẑ,  dβ = Σ g,  dz = γ/σ · (g − mean(g) − ẑ · mean(g ẑ)),

and in eval mode the means fall away. `blocks_backward` evaluates dz on the fly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import Convolution, Geometry, Gradient

TENSORS = 4  # of a block: weights of both convolutions, scale and shift of the norm


def fused_operation(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Blocks in a row, ``batch x c x h x w`` to ``batch x d x h' x w'`` in channels_last.

    Args:
        layers: of each block ReLU, a depthwise convolution or none, a pointwise one, and batch norm.
        x: the input; only a block with a depthwise convolution may follow another.
    """
    blocks, convolutions = [], []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            convolutions.append(layer)
        elif isinstance(layer, nn.BatchNorm2d):
            *depthwise, pointwise = convolutions
            blocks.append(_Layers(depthwise[0] if depthwise else None, pointwise, layer))
            convolutions = []
    tensors = [
        tensor
        for block in blocks
        for tensor in (
            None if block.depthwise is None else block.depthwise.weight,
            block.pointwise.weight,
            block.norm.weight,
            block.norm.bias,
        )
    ]
    out: Tensor = _FusedOperation.apply(blocks, x, *tensors)
    return out


class _Layers(NamedTuple):
    depthwise: nn.Conv2d | None
    pointwise: nn.Conv2d
    norm: nn.BatchNorm2d


class _Pass(NamedTuple):
    """What the backward pass of a block needs beside the tensors; all float64, ``c``."""

    geometry: Geometry
    dilation: int
    training: bool
    normal_scale: Tensor  # 1/σ
    normal_shift: Tensor  # −μ/σ
    scale: Tensor  # of the norm with its weights
    shift: Tensor


class _FusedOperation(Function):
    @staticmethod
    def forward(ctx: Any, blocks: Sequence[_Layers], x: Tensor, *tensors: Tensor | None) -> Tensor:
        image = _pixels(x)
        values: list[Tensor] = [image]
        passes: list[_Pass] = []
        for block in blocks:
            z, passed = _forward(block, values[-1], passes[-1] if passes else None)
            values.append(z)
            passes.append(passed)
        last = passes[-1]
        keep = any(ctx.needs_input_grad)
        out = torch.empty_like(values[-1]) if keep else values[-1]
        kernels.combine([values[-1]], last.scale.to(x.dtype)[None], out=out, shift=last.shift.to(x.dtype))
        if keep:
            ctx.passes = passes
            ctx.save_for_backward(*tensors, *values)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        passes: list[_Pass] = ctx.passes
        tensors = ctx.saved_tensors[: TENSORS * len(passes)]
        values = ctx.saved_tensors[TENSORS * len(passes) :]
        image = _pixels(grad)
        found: list[Tensor | None] = []
        for index in reversed(range(len(passes))):
            of_block = slice(TENSORS * index, TENSORS * (index + 1))
            before = passes[index - 1] if index else None
            image, gradients = _backward(
                passes[index], before, values[index : index + 2], tensors[of_block], image
            )
            found = [*gradients, *found]
        return None, image.permute(0, 3, 1, 2), *found


def _convolution(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    z: Tensor,
    dilation: int,
    before: _Pass | None,
    moments: Tensor | None = None,
) -> Convolution:
    """A block, with the norm that lies between it and the block before."""
    return Convolution(
        x,
        depthwise.contiguous(),
        pointwise.contiguous(),
        z,
        dilation,
        None if before is None else before.scale.to(x.dtype),
        None if before is None else before.shift.to(x.dtype),
        moments,
    )


def _forward(block: _Layers, x: Tensor, before: _Pass | None) -> tuple[Tensor, _Pass]:
    n, h, w, c = x.shape
    norm = block.norm
    stride, dilation = (1, 1) if block.depthwise is None else _window(block.depthwise)
    geometry = Geometry(n, h, w, c, stride)
    z = torch.empty(*geometry.out_shape[:3], norm.num_features, dtype=x.dtype)
    moments = torch.empty(2, norm.num_features, dtype=torch.float64) if norm.training else None
    weight = block.pointwise.weight
    if block.depthwise is None:
        kernels.project_forward(x, weight.contiguous(), z, moments)
    else:
        made = _convolution(x, block.depthwise.weight, weight, z, dilation, before, moments)
        kernels.blocks_forward(geometry, [made])
    mean, variance = _statistics(norm, moments, geometry)
    scale = normal_scale = (variance + norm.eps).rsqrt()
    shift = normal_shift = -mean * normal_scale
    if norm.affine:
        scale = norm.weight.double() * normal_scale
        shift = norm.bias.double() - mean * scale
    return z, _Pass(geometry, dilation, norm.training, normal_scale, normal_shift, scale, shift)


def _window(conv: nn.Conv2d) -> tuple[int, int]:
    return int(conv.stride[0]), int(conv.dilation[0])


def _statistics(norm: nn.BatchNorm2d, moments: Tensor | None, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Mean and variance, of the batch in train mode, which then move the running ones."""
    assert norm.running_mean is not None and norm.running_var is not None
    if moments is None:
        return norm.running_mean.double(), norm.running_var.double()
    count = _count(geometry)
    mean, square = (moments / count).unbind()
    variance = (square - mean * mean).clamp_min(0)
    assert norm.momentum is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    unbiased = variance * (count / max(count - 1, 1))
    for known, fresh in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        known.copy_(torch.lerp(known.double(), fresh, norm.momentum))
    return mean, variance


def _count(geometry: Geometry) -> int:
    return geometry.images * geometry.out_height * geometry.out_width


def _backward(
    passed: _Pass,
    before: _Pass | None,
    values: Sequence[Tensor],
    tensors: Sequence[Tensor | None],
    grad: Tensor,
) -> tuple[Tensor, list[Tensor | None]]:
    """Gradients of a block: of its input (after the norm before it), and of its weights."""
    x, z = values
    depthwise, pointwise, weight, _ = tensors
    assert pointwise is not None
    sums = torch.empty(2, z.shape[3], dtype=torch.float64)
    normal = (passed.normal_scale, passed.normal_shift)
    kernels.combine_backward(
        [z], *(part.to(z.dtype)[None] for part in normal), grads=[grad], of=[0], sums=sums
    )
    mean_normal, mean = sums / _count(passed.geometry)
    from_z = -passed.scale * mean_normal * passed.normal_scale
    constant = -passed.scale * (mean_normal * passed.normal_shift + mean)
    gradient = Gradient(
        grad,
        passed.scale.to(z.dtype),
        torch.empty(x.shape, dtype=x.dtype),
        accumulate=False,
        from_z=from_z.to(z.dtype) if passed.training else None,
        constant=constant.to(z.dtype) if passed.training else None,
        grad_depthwise=None if depthwise is None else torch.empty(depthwise.shape, dtype=torch.float64),
        grad_pointwise=torch.empty(pointwise.shape, dtype=torch.float64),
    )
    if depthwise is None:
        kernels.project_backward(x, pointwise.contiguous(), z, gradient)
    else:
        convolution = _convolution(x, depthwise, pointwise, z, passed.dilation, before)
        kernels.blocks_backward(passed.geometry, [convolution], [gradient])
    of_norm = (None, None) if weight is None else sums
    found = (gradient.grad_depthwise, gradient.grad_pointwise, *of_norm)
    return gradient.grad_x, [None if part is None else part.to(z.dtype) for part in found]


def _pixels(x: Tensor) -> Tensor:
    """``batch x c x h x w`` as ``batch x h x w x c`` for the kernels; a slice of channels is not copied."""
    n, h, w, c = (image := x.detach().permute(0, 2, 3, 1)).shape
    pixel = image.stride(2)
    if min(n, h, w, c) > 1 and image.stride() == (h * w * pixel, w * pixel, pixel, 1):
        return image
    return image.contiguous()
