"""The operations of the DARTS space as plain modules (Liu et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.errors import ConfigError
from snt_zoo.networks import kernels
from snt_zoo.networks.spaces.darts.fused_operation import fused_operation
from snt_zoo.networks.spaces.darts.layout import OPERATIONS, Block


class Convolutions(nn.Sequential):
    """Blocks in a row: ReLU, a depthwise convolution or none, a pointwise one, batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        """By the compiled kernels on a CPU; to evaluate a few images no compiler is waited for."""
        if kernels.usable(x, compile=self.training):
            return fused_operation(self, x)
        for layer in self:
            x = layer(x)
        return x


class ReLUConvNorm(Convolutions):
    """Brings an input to a cell's number of channels."""

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__(
            nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine)
        )


class FactorisedReduction(nn.Module):
    """Halves height and width: a 1×1 convolution of every second pixel, another one of those between.

    The pixels are taken before they are convolved. A 1×1 convolution of stride 2 is the same, but its
    gradients write past their memory below 8 channels in oneDNN (torch 2.14, AVX2).
    """

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out - c_out // 2, 1, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        # Sides may be odd: the half that is shifted by one is padded to the size of the other.
        shifted = functional.pad(x[:, :, 1::2, 1::2], (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        out: Tensor = self.norm(torch.cat([self.even(x[:, :, ::2, ::2]), self.odd(shifted)], dim=1))
        return out


def _separable(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for step in (stride, 1):  # the separable convolution is applied twice (section 3.1)
        layers += [
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, step, kernel // 2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        ]
    return Convolutions(*layers)


def _dilated(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    return Convolutions(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, kernel - 1, dilation=2, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def _pool(kind: str, channels: int, stride: int, affine: bool) -> nn.Sequential:
    pool: nn.Module = (
        nn.MaxPool2d(3, stride, 1)
        if kind == "max_pool_3x3"
        else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=affine))


def build_operation(name: str, channels: int, stride: int, affine: bool) -> nn.Module:
    """An operation other than `none`, ``batch x channels x h x w`` to the same or half the sides."""
    match name:
        case "sep_conv_3x3" | "sep_conv_5x5":
            return _separable(channels, int(name[-1]), stride, affine)
        case "dil_conv_3x3" | "dil_conv_5x5":
            return _dilated(channels, int(name[-1]), stride, affine)
        case "max_pool_3x3" | "avg_pool_3x3":
            return _pool(name, channels, stride, affine)
        case "skip_connect":
            return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels, affine)
        case _:
            raise ConfigError(f"no operation {name!r} in darts: choose one of {', '.join(OPERATIONS)}")


class Cell(nn.Module):
    """What mixed and derived cells share: the two inputs brought to one shape."""

    def __init__(self, c_before: int, c_last: int, channels: int, halve_before: bool, affine: bool) -> None:
        super().__init__()
        self.before: nn.Module = (
            FactorisedReduction(c_before, channels, affine)
            if halve_before
            else ReLUConvNorm(c_before, channels, affine)
        )
        self.last = ReLUConvNorm(c_last, channels, affine)


def rest_of(state: Tensor, width: int, stride: int) -> Tensor:
    """The channels that pass by the operations of a partial connection (Xu et al. 2020, section 3.2)."""
    rest = state[:, width:]
    return rest if stride == 1 else functional.max_pool2d(rest, 2, 2, ceil_mode=True)


def join_partial(part: Tensor, rest: Tensor | None, partial: int) -> Tensor:
    """Operated and bypassing channels shuffled together, so that the next edges see others."""
    if rest is None:
        return part
    return functional.channel_shuffle(torch.cat([part, rest], dim=1), partial)


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of one or more tensors of one shape."""
    first, *others = tensors
    for other in others:
        first = first + other
    return first


def stack_of(group: nn.ModuleDict, block: Block) -> nn.Parameter:
    """The stacked weights of a block."""
    weight = group[block.name].weight
    assert isinstance(weight, nn.Parameter)
    return weight
