"""The shape of the chain: channels, strides and number of blocks, as the published networks have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What the chains of two published families differ in.

    Args:
        stages: channels, blocks, stride and published kernel of each stage whose blocks have a choice.
        same_padding: whether a stride of 2 pads as little as it can, the odd pixel at the end (TensorFlow's
            `SAME`); else by half the kernel on both sides.
        eps: added to the variance in batch norms.
        scales_ends: whether width scales the stem as well, and depth the last stage.
    """

    stages: tuple[tuple[int, int, int, int], ...]
    same_padding: bool
    eps: float
    scales_ends: bool

    def margins(self, side: int, kernel: int, stride: int) -> tuple[int, int]:
        """Zeros before and after a map of so many pixels a side."""
        if not self.same_padding:
            return kernel // 2, kernel // 2
        total = max((halved(side, stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


def halved(side: int, stride: int) -> int:
    """The side of a map after a convolution, with either padding: rounded up."""
    return (side - 1) // stride + 1


# Sandler et al. 2018, table 2.
MOBILENET_V2 = Family(
    ((24, 2, 2, 3), (32, 3, 2, 3), (64, 4, 2, 3), (96, 3, 1, 3), (160, 3, 2, 3), (320, 1, 1, 3)),
    same_padding=False,
    eps=1e-5,
    scales_ends=True,
)
# EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946, table 1) without squeeze-and-excitation, and with
# ReLU6; stem, last stage and last convolution are the same in all Lite networks.
EFFICIENTNET_LITE = Family(
    ((24, 2, 2, 3), (40, 2, 2, 5), (80, 3, 2, 3), (112, 3, 1, 5), (192, 4, 2, 5), (320, 1, 1, 3)),
    same_padding=True,
    eps=1e-3,
    scales_ends=False,
)
FAMILIES = (MOBILENET_V2, EFFICIENTNET_LITE)

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
    family: Family
    published_kernel: int

    @property
    def published(self) -> int:
        """The operation that the published network has here."""
        return operation_index(EXPANSIONS[-1], self.published_kernel)

    @property
    def keeps_shape(self) -> bool:
        """Whether the block has a residual connection, and may be skipped."""
        return self.stride == 1 and self.c_in == self.c_out


@dataclass(frozen=True)
class Plan:
    """Shape of the whole network.

    Args:
        family: of published networks.
        stem: channels of the stem.
        stem_stride: 1 or 2.
        first: channels of the first block.
        blocks: those with a choice, in order.
        features: channels of the last convolution.
    """

    family: Family
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


def make_plan(*, family: Family, width: int, depth: int, halvings: int, features: int) -> Plan:
    """The shape for the hyperparameters of the space; see `Mobile`."""
    kept = iter([False] * (HALVINGS - halvings) + [True] * halvings)
    stem_stride = 2 if next(kept) else 1
    c_in = first = round_channels(FIRST * width / 100)
    blocks = []
    for stage, (channels, count, stride, kernel) in enumerate(family.stages):
        c_out = round_channels(channels * width / 100)
        stage_stride = 2 if stride == 2 and next(kept) else 1
        # Rounded up, as in EfficientNet (Tan and Le 2019).
        scaled = family.scales_ends or stage < len(family.stages) - 1
        for index in range(-(-count * depth // 100) if scaled else count):
            blocks.append(BlockPlan(c_in, c_out, stage_stride if index == 0 else 1, family, kernel))
            c_in = c_out
    stem = round_channels(STEM * width / 100) if family.scales_ends else STEM
    return Plan(family, stem, stem_stride, first, tuple(blocks), features)
