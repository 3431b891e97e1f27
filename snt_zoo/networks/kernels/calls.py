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

from snt_zoo.networks.kernels.build import available, library

_SUFFIX = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}
"""Of the types that there are kernels for; bfloat16 is one of the depthwise ones alone."""


def usable(x: Tensor, *, compile: bool = True, halves: bool = False) -> bool:
    """Whether the kernels take a tensor here.

    Args:
        x: what would be computed on. Not what only stands for a tensor, as in an export.
        compile: compile them if they are not; else they are used if they are there.
        halves: images in bfloat16 will do, as for the depthwise kernels, whose weights stay in float32.
    """
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and (x.dtype in (torch.float32, torch.float64) or (halves and x.dtype == torch.bfloat16))
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and available(compile=compile)
    )


@dataclass(frozen=True)
class Geometry:
    """Shape of the input of a windowed operation, and its stride."""

    images: int
    height: int
    width: int
    channels: int
    stride: int = 1

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
        return (ctypes.c_int64 * 5)(*vars(self).values())  # the fields, in their order


@dataclass(frozen=True)
class Convolution:
    """ReLU, depthwise convolution, pointwise convolution: what they read, and their output.

    Args:
        x: input, ``n x h x w x c``.
        depthwise: ``c x 1 x kernel x kernel``, kernel 3 or 5; the padding keeps the size at stride 1.
        pointwise: ``c x c x 1 x 1``.
        z: the result, ``n x h' x w' x c``, contiguous; filled by `blocks_forward`.
        dilation: of the depthwise kernel.
        scale: with `shift`, ``c``: the input is ``scale * x + shift`` before the ReLU.
        shift: see `scale`.
        moments: filled by `blocks_forward` with the sums over pixels of the result and of its squares,
            ``2 x c``, float64.
    """

    x: Tensor
    depthwise: Tensor
    pointwise: Tensor
    z: Tensor
    dilation: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None
    moments: Tensor | None = None

    def _struct(self) -> _Block:
        assert self.depthwise.shape[-1] in (3, 5)
        return _Block(
            self.depthwise.shape[-1],
            self.dilation,
            *_image(self.x),
            pointer(self.scale),
            pointer(self.shift),
            pointer(self.depthwise),
            pointer(self.pointwise),
            pointer(self.z),
            pointer(self.moments),
        )


@dataclass(frozen=True)
class Gradient:
    """Gradients of a `Convolution`, whose output ``z`` has ``from_grad * grad + from_z * z + constant``.

    That form is what batch norm and a weight make of the gradient of what follows.

    Args:
        grad: ``n x h' x w' x c``.
        from_grad: ``c``.
        grad_x: gets the gradient of the ReLU's input, ``n x h x w x c``. It may lie where ``z`` lies, which
            is then overwritten.
        accumulate: add to `grad_x` instead of writing it.
        from_z: ``c``, with `constant`; None for 0.
        constant: see `from_z`.
        grad_x_moments: filled with the sums over pixels of the gradient of the ReLU's input, and of its
            product with that input, ``2 x c``, float64.
        grad_depthwise: filled, float64; with `grad_pointwise`. None for no gradients of weights.
        grad_pointwise: see `grad_depthwise`.
    """

    grad: Tensor
    from_grad: Tensor
    grad_x: Tensor
    accumulate: bool
    from_z: Tensor | None = None
    constant: Tensor | None = None
    grad_x_moments: Tensor | None = None
    grad_depthwise: Tensor | None = None
    grad_pointwise: Tensor | None = None

    def _struct(self) -> _Gradient:
        return _Gradient(
            *_image(self.grad),
            pointer(self.from_grad),
            pointer(self.from_z),
            pointer(self.constant),
            *_image(self.grad_x),
            int(self.accumulate),
            pointer(self.grad_x_moments),
            pointer(self.grad_depthwise),
            pointer(self.grad_pointwise),
        )


class _Block(ctypes.Structure):
    _fields_ = (
        ("kernel", ctypes.c_int64),
        ("dilation", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("x_stride", ctypes.c_int64),
        ("scale", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("depthwise", ctypes.c_void_p),
        ("pointwise", ctypes.c_void_p),
        ("z", ctypes.c_void_p),
        ("moments", ctypes.c_void_p),
    )


class _Gradient(ctypes.Structure):
    _fields_ = (
        ("grad", ctypes.c_void_p),
        ("grad_stride", ctypes.c_int64),
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


class _Projection(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_int64),
        ("in_channels", ctypes.c_int64),
        ("out_channels", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("x_stride", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("z", ctypes.c_void_p),
        ("moments", ctypes.c_void_p),
    )


class _Images(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        ("at", ctypes.POINTER(ctypes.c_void_p)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
    )


def blocks_forward(geometry: Geometry, blocks: Sequence[Convolution]) -> None:
    """Fill the outputs of blocks of one geometry; neighbours with one input share the work on it."""
    call(
        "blocks_forward",
        blocks[0].x,
        geometry._struct(),
        ctypes.c_int64(len(blocks)),
        (_Block * len(blocks))(*(block._struct() for block in blocks)),
    )


def blocks_backward(geometry: Geometry, blocks: Sequence[Convolution], gradients: Sequence[Gradient]) -> None:
    """Gradients of `blocks_forward`. Neighbours with one `grad_x` must have one input: they are added up.

    Of such neighbours the last one's `accumulate` and `grad_x_moments` count, for all of them together.
    """
    call(
        "blocks_backward",
        blocks[0].x,
        geometry._struct(),
        ctypes.c_int64(len(blocks)),
        (_Block * len(blocks))(*(block._struct() for block in blocks)),
        (_Gradient * len(blocks))(*(gradient._struct() for gradient in gradients)),
    )


def project_forward(x: Tensor, weight: Tensor, z: Tensor, moments: Tensor | None = None) -> None:
    """ReLU and 1×1 convolution.

    Args:
        x: input, ``n x h x w x c``.
        weight: ``d x c x 1 x 1``.
        z: filled with the result, ``n x h x w x d``, contiguous.
        moments: filled with the sums over pixels of the result and of its squares, ``2 x d``, float64.
    """
    call("project_forward", x, ctypes.byref(_projection(x, weight, z, moments)))


def project_backward(x: Tensor, weight: Tensor, z: Tensor, gradient: Gradient) -> None:
    """Gradients of `project_forward`: the gradient's `grad_x` is written, `grad_pointwise` filled."""
    call(
        "project_backward",
        x,
        ctypes.byref(_projection(x, weight, z, None)),
        ctypes.byref(gradient._struct()),
    )


def _projection(x: Tensor, weight: Tensor, z: Tensor, moments: Tensor | None) -> _Projection:
    n, h, w, c = x.shape
    pixels = _image(x)
    return _Projection(n * h * w, c, weight.shape[0], *pixels, pointer(weight), pointer(z), pointer(moments))


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
    call(
        "combine",
        out,
        _images(inputs),
        pointer(factors),
        pointer(shift),
        *_image(out),
        ctypes.c_int64(out.shape[0] * out.shape[1] * out.shape[2]),
        ctypes.c_int64(out.shape[3]),
        ctypes.c_int64(int(accumulate)),
    )


def combine_backward(
    inputs: Sequence[Tensor],
    scale: Tensor,
    shift: Tensor,
    *,
    grads: Sequence[Tensor],
    of: Sequence[int],
    sums: Tensor,
) -> None:
    """Sums over pixels of ``grads[of[i]] * (scale[i] * inputs[i] + shift[i])`` and of the gradients.

    Args:
        inputs: images of one shape.
        scale: ``inputs x c``.
        shift: ``inputs x c``.
        grads: images of that shape, ``n x h x w x c``.
        of: for each input the place of its gradient.
        sums: filled, ``(inputs + grads) x c``, float64.
    """
    like = grads[0]
    call(
        "combine_backward",
        like,
        _images(inputs),
        pointer(scale),
        pointer(shift),
        (ctypes.c_int64 * len(of))(*of),
        _images(grads),
        ctypes.c_int64(like.shape[0] * like.shape[1] * like.shape[2]),
        ctypes.c_int64(like.shape[3]),
        pointer(sums),
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
        which: filled with the place of the maximum in its window, from 0 to 8; likewise.
        moments: filled with sums and sums of squares of `highest`, then of `average`, ``4 x c``, float64.
    """
    call(
        "pool_forward",
        x,
        geometry._struct(),
        *_image(x),
        pointer(highest),
        pointer(average),
        pointer(which),
        pointer(moments),
    )


def pool_backward(
    geometry: Geometry, grad_highest: Tensor, grad_average: Tensor, which: Tensor, *, grad_x: Tensor
) -> None:
    """Adds the gradients of `pool_forward` to `grad_x`, ``n x h x w x c``."""
    call(
        "pool_backward",
        grad_x,
        geometry._struct(),
        pointer(grad_highest),
        pointer(grad_average),
        pointer(which),
        *_image(grad_x),
    )


def call(name: str, like: Tensor, *arguments: Any) -> None:
    """Call a kernel for the floating-point type of a tensor."""
    found = library()
    assert found is not None, "ask `usable` first"
    getattr(found, f"{name}_{_SUFFIX[like.dtype]}")(*arguments)


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where the values of a contiguous tensor lie; null for None."""
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


def _images(inputs: Sequence[Tensor]) -> Any:
    found = [_image(x) for x in inputs]
    return ctypes.byref(
        _Images(
            len(found),
            (ctypes.c_void_p * len(found))(*(pointer.value for pointer, _ in found)),
            (ctypes.c_int64 * len(found))(*(stride.value for _, stride in found)),
        )
    )
