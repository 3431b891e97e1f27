"""Pillow's bilinear resize as tensor operations, the same to the bit, for images of any size.

An exported network must see what it was trained on, and the resize that a runtime has differs from Pillow's
in the last bits. Pillow weighs the pixels below a triangle with numbers of 22 bits after the point, and
rounds to eight bits after each of its two passes (`libImaging/Resample.c`); from six times the size on means
of whole blocks are taken first (`libImaging/Reduce.c`): `snt_zoo.data.decoding.squashed`. Each pass is a
product of matrices here. Numbers of 22 bits times pixels do not fit into float32, so upper and lower bits
are multiplied apart: sums of both are whole numbers that float32 holds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.data.decoding import GAP

_BITS = 22  # of a weight after the point
_LOWER = 2**11  # what the upper bits of a weight count


class Resampling(nn.Module):
    """Squashes images to a square.

    Args:
        size: its side in pixels.

    Example:
        >>> Resampling(32)(torch.zeros(2, 480, 640, 3, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """uint8 ``batch x h x w x 3`` to whole numbers from 0 to 255, float32 ``batch x 3 x size x size``."""
        height, width = images.shape[1], images.shape[2]
        by, over = (_opaque(side // (GAP * self.size)) for side in (height, width))
        pixels = _reduced(images.permute(0, 3, 1, 2).float(), by, over)
        across = _weights(pixels.shape[3], _span(width, over), self.size)
        down = _weights(pixels.shape[2], _span(height, by), self.size)
        pixels = _rounded(*torch.split(pixels @ across.T, self.size, 3))
        return _rounded(*torch.split(down @ pixels, self.size, 2))


def _opaque(length: Any) -> Any:
    """The length, at least 1, as a number of which a trace knows nothing.

    Else the trace would be one for images whose blocks are of one pixel, as those of the example are, or for
    those whose blocks are larger.
    """
    opaque = torch.full((), length, dtype=torch.int64).clamp(min=1).item()
    torch._check(opaque >= 1)
    return opaque


def _reduced(pixels: Tensor, by: Any, over: Any) -> Tensor:
    """Means of blocks of `by` rows and `over` columns; those at the end may be smaller."""
    height, width = pixels.shape[2], pixels.shape[3]
    rows, columns = (height + by - 1) // by, (width + over - 1) // over
    padded = functional.pad(pixels, (0, columns * over - width, 0, rows * by - height))
    sums = torch.unflatten(torch.unflatten(padded, 3, (columns, over)), 2, (rows, by)).sum((3, 5))
    count = _counts(height, rows, by)[:, None] * _counts(width, columns, over)
    # As in C: the half is rounded down, and the division is a product with a whole number of 24 bits.
    inverse = (2.0**24 / count).floor()
    mean = torch.floor((sums.double() + (count / 2).floor()) * inverse / 2**24)
    return mean.float()


def _counts(side: Any, blocks: Any, length: Any) -> Tensor:
    """Pixels of each block along a side, float64."""
    left: Tensor = side - torch.arange(blocks) * length
    return left.clamp(max=length).double()


def _span(side: Any, factor: Any) -> Tensor:
    """The side in blocks, float64 but with the bits of float32, in which Pillow holds it."""
    exact: Tensor = torch.full((1,), side, dtype=torch.float64) / factor
    return exact.float().double()


def _weights(inside: Any, span: Tensor, size: int) -> Tensor:
    """Upper and lower bits of what each pixel weighs, float32 ``2 size x inside``."""
    scale = span / size
    reach = scale.clamp(min=1.0)  # a larger image is interpolated
    centre = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    away = torch.arange(inside, dtype=torch.float64)[None] - centre[:, None] + 0.5
    triangle = (1.0 - (away * (1.0 / reach)).abs()).clamp(min=0.0)
    whole = (0.5 + triangle / triangle.sum(1, keepdim=True) * 2**_BITS).floor()
    upper = (whole / _LOWER).floor()
    return torch.cat([upper, whole - upper * _LOWER]).float()


def _rounded(upper: Tensor, lower: Tensor) -> Tensor:
    """Sums of weighted pixels, whole numbers in two parts, to the nearest eight bits."""
    carried: Tensor = upper + (lower / _LOWER).floor() + _LOWER // 2
    return torch.floor(carried / (2**_BITS // _LOWER))
