"""Calls of the depthwise kernels: the middle of an inverted residual block."""

from __future__ import annotations

import ctypes
from dataclasses import astuple, dataclass

from torch import Tensor

from snt_zoo.networks.kernels.calls import call, pointer


@dataclass(frozen=True)
class Window:
    """Shape of the input of a depthwise convolution, its kernel, and where its windows lie.

    Args:
        images: in the batch.
        height: of the input, and so is the width.
        width: in pixels.
        channels: of input and output.
        kernel: side of a window: 3, 5 or 7.
        stride: 1 or 2.
        top: rows of zeros above the input.
        left: columns of zeros before it.
        out_height: of the output; what its windows need below and behind the input is zero too.
        out_width: likewise.
    """

    images: int
    height: int
    width: int
    channels: int
    kernel: int
    stride: int
    top: int
    left: int
    out_height: int
    out_width: int

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, ``n x h x w x c``."""
        return self.images, self.out_height, self.out_width, self.channels

    def _struct(self) -> ctypes.Array[ctypes.c_int64]:
        return (ctypes.c_int64 * 10)(*astuple(self))  # the fields, in their order


def depthwise_forward(
    window: Window,
    x: Tensor,
    shift: Tensor,
    weight: Tensor,
    *,
    bias: Tensor,
    out: Tensor,
) -> None:
    """ReLU6 of the shifted input, a depthwise convolution with a bias, and ReLU6.

    Args:
        window: of the input.
        x: ``n x h x w x c``, contiguous.
        shift: added to it, ``c``.
        weight: ``c x 1 x kernel x kernel``.
        bias: ``c``.
        out: filled, ``n x h' x w' x c``.
    """
    call("depthwise_forward", x, window._struct(), *map(pointer, (x, shift, weight, bias, out)))


def depthwise_backward(
    window: Window,
    x: Tensor,
    shift: Tensor,
    weight: Tensor,
    *,
    out: Tensor,
    grad: Tensor,
    grad_x: Tensor,
    grad_shift: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
) -> None:
    """Gradients of `depthwise_forward`.

    Args:
        window, x, shift, weight: as there.
        out: what it gave.
        grad: of the output, ``n x h' x w' x c``, contiguous.
        grad_x: filled, ``n x h x w x c``.
        grad_shift: filled, ``c``, float64.
        grad_weight: filled, ``c x 1 x kernel x kernel``, float64.
        grad_bias: filled, ``c``, float64.
    """
    call(
        "depthwise_backward",
        x,
        window._struct(),
        *map(pointer, (x, shift, weight, out, grad, grad_x, grad_shift, grad_weight, grad_bias)),
    )
