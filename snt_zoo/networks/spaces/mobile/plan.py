"""The shape of the chain: channels, strides and number of blocks, as MobileNetV2 has them (its table 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Channels, blocks and stride of each stage whose blocks have a choice (Sandler et al. 2018, table 2).
STAGES = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
HALVINGS = 5  # the stem's stride of 2 and that of four stages
STEM, FIRST = 32, 16  # channels of the stem, and of the first block, which has no choice

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
SKIP = len(KERNELS) * len(EXPANSIONS)  # index of `skip_connect`; the operations before it compute
OPERATIONS = (*(f"mb_e{e}_k{k}" for e in EXPANSIONS for k in KERNELS), "skip_connect")


def operation_index(expansion: int, kernel: int) -> int:
    """The column of an inverted residual block."""
    return EXPANSIONS.index(expansion) * len(KERNELS) + KERNELS.index(kernel)


def shape_of(operation: int) -> tuple[int, int]:
    """Expansion and kernel of an operation that computes."""
    expansion, kernel = divmod(operation, len(KERNELS))
    return EXPANSIONS[expansion], KERNELS[kernel]


def round_channels(channels: float) -> int:
    """The nearest multiple of 8 that is no more than a tenth below (the published networks' rule)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


@dataclass(frozen=True)
class BlockPlan:
    """Shape of one block of the chain."""

    c_in: int
    c_out: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether the block has a residual connection, and may be skipped."""
        return self.stride == 1 and self.c_in == self.c_out


@dataclass(frozen=True)
class Plan:
    """Shape of the whole network.

    Args:
        stem: channels of the stem.
        stem_stride: 1 or 2.
        first: channels of the first block.
        blocks: those with a choice, in order.
        features: channels of the last convolution.
    """

    stem: int
    stem_stride: int
    first: int
    blocks: tuple[BlockPlan, ...]
    features: int

    def sides(self, input_size: int) -> Iterator[tuple[int, int]]:
        """The side of the maps that go into, and come out of, each block with a choice."""
        side = halved(input_size, self.stem_stride)
        for block in self.blocks:
            out = halved(side, block.stride)
            yield side, out
            side = out


def halved(side: int, stride: int) -> int:
    """The side of a map after a convolution whose padding is half its kernel: rounded up."""
    return (side - 1) // stride + 1


def make_plan(*, width: int, depth: int, halvings: int, features: int) -> Plan:
    """The shape for the hyperparameters of the space; see `Mobile`."""
    kept = iter([False] * (HALVINGS - halvings) + [True] * halvings)
    stem_stride = 2 if next(kept) else 1
    c_in = first = round_channels(FIRST * width / 100)
    blocks = []
    for channels, count, stride in STAGES:
        c_out = round_channels(channels * width / 100)
        stage_stride = 2 if stride == 2 and next(kept) else 1
        for index in range(-(-count * depth // 100)):  # rounded up, as in EfficientNet (Tan and Le 2019)
            blocks.append(BlockPlan(c_in, c_out, stage_stride if index == 0 else 1))
            c_in = c_out
    return Plan(round_channels(STEM * width / 100), stem_stride, first, tuple(blocks), features)
