"""Convolutions that pad as the published networks do."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.networks.kernels import Window
from snt_zoo.networks.spaces.mobile.plan import Family, halved


def convolve(
    x: Tensor, weight: Tensor, stride: int, family: Family, *, groups: int = 1, bias: Tensor | None = None
) -> Tensor:
    """Convolve ``batch x c x h x w`` with ``c_out x c / groups x k x k``, padded as the family pads."""
    kernel = weight.shape[-1]
    (left, right), (top, bottom) = (family.margins(side, kernel, stride) for side in (x.shape[3], x.shape[2]))
    if left == right and top == bottom:
        return functional.conv2d(x, weight, bias, stride, (top, left), groups=groups)
    x = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(x, weight, bias, stride, groups=groups)


class Convolution(nn.Conv2d):
    """A plain convolution that pads as its family does.

    Args:
        c_in: channels that come in.
        c_out: channels that go out.
        kernel: its side.
        stride: 1 or 2.
        family: of published networks.
        groups: of channels; `c_in` for a depthwise one.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int, family: Family, *, groups: int = 1
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.family = family

    def forward(self, x: Tensor) -> Tensor:
        """``batch x c_in x h x w`` to ``batch x c_out x h' x w'``."""
        return self.by(x, self.weight, self.bias)

    def by(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same by other weights."""
        return convolve(x, weight, self.stride[0], self.family, groups=self.groups, bias=bias)

    def window(self, x: Tensor) -> Window:
        """Where the windows of a depthwise one lie in ``batch x c x h x w``."""
        images, channels, height, width = x.shape
        kernel, stride = self.weight.shape[-1], self.stride[0]
        top, left = (self.family.margins(side, kernel, stride)[0] for side in (height, width))
        out = (halved(side, stride) for side in (height, width))
        return Window(images, height, width, channels, kernel, stride, top, left, *out)
