"""Convolutions with their batch norms, and the middle of an inverted residual block.

That is ReLU6, a depthwise convolution, its norm and another ReLU6. Where norms stay as they are in training,
on a CPU, they are part of the convolutions, and the middle is run by the compiled kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from snt_zoo.networks import kernels
from snt_zoo.networks.device import quick_dtype
from snt_zoo.networks.spaces.mobile.convolution import Convolution


def fixed(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """Whether a convolution is trained by the kernels and the norm behind it stays: the two are one.

    Folding gains nothing by PyTorch's operations, nor do the kernels with norms that are measured, or to
    evaluate (docs/decisions.md, 140). Images may be in bfloat16, with weights in float32.
    """
    halves = conv.weight.dtype == torch.float32
    return conv.training and not norm.training and kernels.usable(x, halves=halves)


def quick(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Images in bfloat16, where the kernels take them, the processor multiplies it, and norms are fixed.

    Args:
        x: of a derived network.
        conv: its first convolution.
        norm: behind that; the others are as it is.
    """
    return x.to(quick_dtype(x.device)) if fixed(conv, norm, x) and x.dtype == torch.float32 else x


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weights and bias of a convolution with its fixed norm in it; the gradients are those of the two.

    Args:
        weight: ``c_out x c x k x k``.
        norm: of ``c_out`` channels, in eval mode.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def normed(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """A convolution and its norm."""
    if fixed(conv, norm, x):
        return _convolved(conv, x, *folded(conv.weight, norm))
    out: Tensor = norm(conv(x))
    return out


def widened(
    expand: nn.Conv2d,
    expand_norm: nn.BatchNorm2d,
    depthwise: Convolution,
    depthwise_norm: nn.BatchNorm2d,
    x: Tensor,
) -> Tensor:
    """A convolution and a depthwise one, each with its norm and ReLU6.

    Args:
        expand: ``c`` to ``d`` channels.
        expand_norm: of it.
        depthwise: of ``d`` channels.
        depthwise_norm: of it.
        x: ``batch x c x h x w``.
    """
    if fixed(expand, expand_norm, x) and fixed(depthwise, depthwise_norm, x):
        weight, shift = folded(expand.weight, expand_norm)
        wide = _convolved(expand, x, weight, None)
        return _depthwise(depthwise, wide, shift, *folded(depthwise.weight, depthwise_norm))
    wide = functional.relu6(normed(expand, expand_norm, x), inplace=True)
    return functional.relu6(normed(depthwise, depthwise_norm, wide), inplace=True)


def _convolved(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    if isinstance(conv, Convolution):
        return conv.by(x, weight, bias)
    if x.device.type != "cpu":
        return functional.conv2d(x, weight, bias)
    # A product of matrices takes channels_last as it lies; by one thread the convolution copies it.
    return functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _depthwise(*arguments: Any) -> Tensor:
    out: Tensor = _Depthwise.apply(*arguments)
    return out


class _Depthwise(Function):
    """ReLU6 of what is shifted, a depthwise convolution with a bias, and ReLU6, by the compiled kernels."""

    @staticmethod
    def forward(
        ctx: Any, conv: Convolution, x: Tensor, shift: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        window, image, weight = conv.window(x), _pixels(x), weight.contiguous()
        n, h, w, c = window.out_shape
        out = torch.empty(n, c, h, w, dtype=x.dtype, memory_format=torch.channels_last)
        kernels.depthwise_forward(window, image, shift, weight, bias=bias, out=_pixels(out))
        ctx.window = window
        ctx.save_for_backward(image, shift, weight, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, shift, weight, out = ctx.saved_tensors
        grad_x = torch.empty_like(image)
        found = [torch.empty(each.shape, dtype=torch.float64) for each in (shift, weight, shift)]
        kernels.depthwise_backward(
            ctx.window,
            image,
            shift,
            weight,
            out=_pixels(out),
            grad=_pixels(grad),
            grad_x=grad_x,
            grad_shift=found[0],
            grad_weight=found[1],
            grad_bias=found[2],
        )
        return None, grad_x.permute(0, 3, 1, 2), *(each.to(weight.dtype) for each in found)


def _pixels(x: Tensor) -> Tensor:
    """``batch x c x h x w`` as ``batch x h x w x c``, contiguous; channels_last is not copied."""
    return x.detach().permute(0, 2, 3, 1).contiguous()
