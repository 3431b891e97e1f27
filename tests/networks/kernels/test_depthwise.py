"""The depthwise kernels against PyTorch's operations and their gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import Window, depthwise_backward, depthwise_forward

needs_compiler = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler, no kernels")

TOLERANCES = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-3},
    torch.bfloat16: {"rtol": 1e-2, "atol": 1e-2},
}


@st.composite
def shapes(draw: st.DrawFn) -> Window:
    """Any input, kernel, stride and padding; what is needed behind the input is zero."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 19))
    kernel, stride = draw(st.sampled_from([3, 5, 7])), draw(st.sampled_from([1, 2]))
    top, left = draw(st.integers(0, kernel // 2)), draw(st.integers(0, kernel // 2))
    channels = draw(st.integers(1, 37))
    out = ((side - 1) // stride + 1 for side in (height, width))
    return Window(draw(st.integers(1, 3)), height, width, channels, kernel, stride, top, left, *out)


def numbers(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def expected(window: Window, x: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, bounds: bool) -> Tensor:
    """The same by PyTorch, ``n x h' x w' x c``."""
    wide = functional.relu6(x + shift).permute(0, 3, 1, 2)
    below = (window.out_height - 1) * window.stride + window.kernel - window.top - window.height
    behind = (window.out_width - 1) * window.stride + window.kernel - window.left - window.width
    padded = functional.pad(wide, (window.left, max(behind, 0), window.top, max(below, 0)))
    out = functional.conv2d(padded, weight, bias, window.stride, groups=window.channels)
    out = out[:, :, : window.out_height, : window.out_width].permute(0, 2, 3, 1)
    return functional.relu6(out) if bounds else out


@needs_compiler
@given(shapes(), st.sampled_from(list(TOLERANCES)))
@settings(max_examples=150, deadline=None)
def test_a_depthwise_convolution_and_its_gradients_equal_pytorch(window: Window, dtype: torch.dtype) -> None:
    c, k = window.channels, window.kernel
    fine = torch.float64 if dtype == torch.float64 else torch.float32
    x = numbers(window.images, window.height, window.width, c, seed=0, dtype=dtype) * 3
    shift, bias = numbers(c, seed=1, dtype=fine), numbers(c, seed=2, dtype=fine)
    weight, grad = (
        numbers(c, 1, k, k, seed=3, dtype=fine) / k,
        numbers(*window.out_shape, seed=4, dtype=dtype),
    )
    out, grad_x = torch.empty(window.out_shape, dtype=dtype), torch.empty_like(x)
    depthwise_forward(window, x, shift, weight, bias=bias, out=out)
    of_shift, of_bias = (torch.empty(c, dtype=torch.float64) for _ in range(2))
    of_weight = torch.empty(c, 1, k, k, dtype=torch.float64)
    depthwise_backward(
        window,
        x,
        shift,
        weight,
        out=out,
        grad=grad,
        grad_x=grad_x,
        grad_shift=of_shift,
        grad_weight=of_weight,
        grad_bias=of_bias,
    )
    leaves = [tensor.double().requires_grad_() for tensor in (x, shift, weight, bias)]
    wanted = expected(window, *leaves, True)
    # At a bound a rounded output may lie on the other side: PyTorch is asked where the kernel saw it.
    open_ = ((out > 0) & (out < 6)).double()
    free = expected(window, *leaves, False)
    gradients = torch.autograd.grad((free * open_ * grad.double()).sum(), leaves)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(out.double(), wanted.detach(), **tolerance)
    scale = max(1.0, float(grad.abs().sum()) / 50)
    for found, right in zip((grad_x, of_shift, of_weight, of_bias), gradients, strict=True):
        assert float((found.double() - right).abs().max()) <= tolerance["atol"] * scale


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_value_that_is_no_number_stays_visible(dtype: torch.dtype) -> None:
    window = Window(1, 4, 4, 2, 3, 1, 1, 1, 4, 4)
    x = torch.ones(1, 4, 4, 2, dtype=dtype)
    x[0, 0, 0, 0] = torch.nan
    out = torch.empty(window.out_shape, dtype=dtype)
    fine = torch.float64 if dtype == torch.float64 else torch.float32
    zero = torch.zeros(2, dtype=fine)
    depthwise_forward(window, x, zero, torch.ones(2, 1, 3, 3, dtype=fine), bias=zero, out=out)
    assert bool(out[0, :2, :2, 0].isnan().all()) and not bool(out[..., 1].isnan().any())
