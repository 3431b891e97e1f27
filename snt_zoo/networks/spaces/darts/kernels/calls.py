"""The kernels as functions of tensors.

Images are ``n x h x w x c`` (channels last), with neighbouring channels; pixels may lie further apart than
``c`` values, so that a slice of the channels of a larger tensor can be passed. All tensors of a call have
one floating-point type, float32 or float64; sums come back as float64.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snt_zoo.networks.spaces.darts.kernels.build import available, library

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


def usable(x: Tensor) -> bool:
    """Whether the kernels take tensors of this device and type here."""
    return x.device.type == "cpu" and x.dtype in _SUFFIX and available()


@dataclass(frozen=True)
class Geometry:
    """Shape of the input of a windowed operation, and of its window.

    The padding keeps the size at stride 1: ``dilation * (kernel - 1) / 2``.
    """

    images: int
    height: int
    width: int
    channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1

    @property
    def out_height(self) -> int:
        """Height of the output."""
        return (self.height - 1) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Width of the output."""
        return (self.width - 1) // self.stride + 1

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, ``n x h x w x c``."""
        return self.images, self.out_height, self.out_width, self.channels

    def _struct(self) -> ctypes.Array[ctypes.c_int64]:
        return (ctypes.c_int64 * 7)(*vars(self).values())  # the fields, in their order


class _Backward(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_void_p),
        ("x_stride", ctypes.c_int64),
        ("scale", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("depthwise", ctypes.c_void_p),
        ("pointwise", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("grad_stride", ctypes.c_int64),
        ("z", ctypes.c_void_p),
        ("from_grad", ctypes.c_void_p),
        ("from_z", ctypes.c_void_p),
        ("constant", ctypes.c_void_p),
        ("grad_x", ctypes.c_void_p),
        ("grad_x_stride", ctypes.c_int64),
        ("accumulate", ctypes.c_int64),
        ("grad_x_moments", ctypes.c_void_p),
        ("grad_depthwise", ctypes.c_void_p),
        ("grad_pointwise", ctypes.c_void_p),
    )


def block_forward(
    geometry: Geometry,
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    *,
    out: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    moments: Tensor | None = None,
) -> None:
    """ReLU, depthwise convolution, pointwise convolution.

    Args:
        geometry: of the input and the depthwise kernel.
        x: input, ``n x h x w x c``.
        depthwise: ``c x 1 x kernel x kernel``.
        pointwise: ``c x c x 1 x 1``.
        out: filled with the result, ``n x h' x w' x c``, contiguous.
        scale: with `shift`, ``c``: the input is ``scale * x + shift`` before the ReLU.
        shift: see `scale`.
        moments: filled with the sums over pixels of the result and of its squares, ``2 x c``, float64.
    """
    _call(
        "block_forward",
        x,
        geometry._struct(),
        *_image(x),
        _pointer(scale),
        _pointer(shift),
        _pointer(depthwise),
        _pointer(pointwise),
        _pointer(out),
        _pointer(moments),
    )


def block_backward(
    geometry: Geometry,
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    *,
    grad: Tensor,
    from_grad: Tensor,
    z: Tensor,
    grad_x: Tensor,
    accumulate: bool,
    from_z: Tensor | None = None,
    constant: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    grad_x_moments: Tensor | None = None,
    grad_depthwise: Tensor | None = None,
    grad_pointwise: Tensor | None = None,
) -> None:
    """Gradients of `block_forward`, whose output ``z`` has ``from_grad * grad + from_z * z + constant``.

    That form is what batch norm and a weight make of the gradient of what follows.

    Args:
        geometry: as in the forward pass, and so are `x`, `depthwise`, `pointwise`, `scale`, `shift`.
        grad: ``n x h' x w' x c``.
        from_grad: ``c``.
        z: output of the forward pass, contiguous.
        grad_x: gets the gradient of the ReLU's input, ``n x h x w x c``.
        accumulate: add to `grad_x` instead of writing it.
        from_z: ``c``, with `constant`; None for 0.
        constant: see `from_z`.
        grad_x_moments: filled with the sums over pixels of the gradient of the ReLU's input, and of its
            product with that input, ``2 x c``, float64.
        grad_depthwise: filled, float64; with `grad_pointwise`. None for no gradients of weights.
        grad_pointwise: see `grad_depthwise`.
    """
    arguments = _Backward(
        *_image(x),
        _pointer(scale),
        _pointer(shift),
        _pointer(depthwise),
        _pointer(pointwise),
        *_image(grad),
        _pointer(z),
        _pointer(from_grad),
        _pointer(from_z),
        _pointer(constant),
        *_image(grad_x),
        int(accumulate),
        _pointer(grad_x_moments),
        _pointer(grad_depthwise),
        _pointer(grad_pointwise),
    )
    _call("block_backward", x, geometry._struct(), ctypes.byref(arguments))


def combine(
    inputs: Sequence[Tensor],
    factors: Tensor,
    *,
    out: Tensor,
    shift: Tensor | None = None,
    accumulate: bool = False,
) -> None:
    """``out = shift + sum of factors[i] * inputs[i]``, per channel.

    Args:
        inputs: images of one shape, ``n x h x w x c``.
        factors: ``inputs x c``.
        out: gets the result.
        shift: ``c``.
        accumulate: add to `out` instead of writing it.
    """
    _call(
        "combine",
        out,
        ctypes.c_int64(len(inputs)),
        *_images(inputs),
        _pointer(factors),
        _pointer(shift),
        *_image(out),
        ctypes.c_int64(out.shape[0] * out.shape[1] * out.shape[2]),
        ctypes.c_int64(out.shape[3]),
        ctypes.c_int64(int(accumulate)),
    )


def combine_backward(
    inputs: Sequence[Tensor], scale: Tensor, shift: Tensor, *, grad: Tensor, sums: Tensor
) -> None:
    """Sums over pixels of ``grad * (scale[i] * inputs[i] + shift[i])`` and, in the last row, of `grad`.

    Args:
        inputs: images of the shape of `grad`.
        scale: ``inputs x c``.
        shift: ``inputs x c``.
        grad: ``n x h x w x c``.
        sums: filled, ``(inputs + 1) x c``, float64.
    """
    _call(
        "combine_backward",
        grad,
        ctypes.c_int64(len(inputs)),
        *_images(inputs),
        _pointer(scale),
        _pointer(shift),
        *_image(grad),
        ctypes.c_int64(grad.shape[0] * grad.shape[1] * grad.shape[2]),
        ctypes.c_int64(grad.shape[3]),
        _pointer(sums),
    )


def pool_forward(
    geometry: Geometry,
    x: Tensor,
    *,
    highest: Tensor,
    average: Tensor,
    which: Tensor,
    moments: Tensor | None = None,
) -> None:
    """Maximum and mean (of the pixels inside the image) of 3×3 windows.

    Args:
        geometry: of the input.
        x: input, ``n x h x w x c``.
        highest: filled, ``n x h' x w' x c``, contiguous.
        average: likewise.
        which: filled with the place of the maximum in its window, from 0 to 8; uint8, likewise.
        moments: filled with sums and sums of squares of `highest`, then of `average`, ``4 x c``, float64.
    """
    _call(
        "pool_forward",
        x,
        geometry._struct(),
        *_image(x),
        _pointer(highest),
        _pointer(average),
        _pointer(which),
        _pointer(moments),
    )


def pool_backward(
    geometry: Geometry, grad_highest: Tensor, grad_average: Tensor, which: Tensor, *, grad_x: Tensor
) -> None:
    """Adds the gradients of `pool_forward` to `grad_x`, ``n x h x w x c``."""
    _call(
        "pool_backward",
        grad_x,
        geometry._struct(),
        _pointer(grad_highest),
        _pointer(grad_average),
        _pointer(which),
        *_image(grad_x),
    )


def _call(name: str, like: Tensor, *arguments: Any) -> None:
    found = library()
    assert found is not None, "ask `usable` first"
    getattr(found, f"{name}_{_SUFFIX[like.dtype]}")(*arguments)


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    if tensor is None:
        return ctypes.c_void_p(None)
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def _image(x: Tensor) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
    _, height, width, _ = x.shape
    stride = x.stride(2) if width > 1 else x.stride(1) if height > 1 else x.stride(0)
    assert x.stride(3) == 1 or x.shape[3] == 1
    assert height == 1 or x.stride(1) == width * stride
    assert x.shape[0] == 1 or x.stride(0) == height * width * stride
    return ctypes.c_void_p(x.data_ptr()), ctypes.c_int64(stride)


def _images(
    inputs: Sequence[Tensor],
) -> tuple[ctypes.Array[ctypes.c_void_p], ctypes.Array[ctypes.c_int64]]:
    found = [_image(x) for x in inputs]
    return (
        (ctypes.c_void_p * len(found))(*(pointer.value for pointer, _ in found)),
        (ctypes.c_int64 * len(found))(*(stride.value for _, stride in found)),
    )
