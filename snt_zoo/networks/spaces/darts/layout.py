"""The DARTS cell's nodes, edges and operations, and how a mixed cell stacks the weights of its edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NODES = 4
KEPT = 2  # edges that a derived cell keeps into each node
OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
SKIP = OPERATIONS.index("skip_connect")
MAX_SKIPS = 4  # of a derived cell's eight edges; see `Darts.discretise`
POOLS = OPERATIONS[1:3]
# Nodes 0 and 1 are the inputs; 2 to 5 the four nodes. Grouped by target node, as in the paper's figure.
EDGES = tuple((s, t) for t in range(2, 2 + NODES) for s in range(t))
SOURCES = range(1 + NODES)  # nodes that an edge leaves

# Weights of all edges are stacked, and those of the edges that leave one node are neighbours: they see the
# same input, and grouped convolutions take them at once.
STACK = tuple(sorted(range(len(EDGES)), key=lambda row: EDGES[row]))
"""Rows of the alphas in the order in which their weights are stacked."""
PLACE = tuple(STACK.index(row) for row in range(len(EDGES)))
"""Where in the stack a row's weights are."""
LEAVING = tuple(tuple(row for row in STACK if EDGES[row][0] == source) for source in SOURCES)
"""For each source the rows of the edges that leave it, in stack order."""


@dataclass(frozen=True)
class Block:
    """ReLU, depthwise and pointwise convolution, batch norm: what convolutional operations are made of.

    Args:
        name: of its weights.
        operation: column of the alphas.
        kernel: side of the depthwise kernel.
        dilation: of the depthwise kernel.
        second: whether it follows another block of its operation (and so never has a stride).
    """

    name: str
    operation: int
    kernel: int
    dilation: int = 1
    second: bool = False

    @property
    def padding(self) -> int:
        """Pixels around the input that keep its size at stride 1."""
        return self.dilation * (self.kernel - 1) // 2


# The separable convolution is applied twice (Liu et al. 2019, section 3.1).
BLOCKS = (
    Block("sep_3x3_first", 4, 3),
    Block("sep_5x5_first", 5, 5),
    Block("dil_3x3", 6, 3, dilation=2),
    Block("dil_5x5", 7, 5, dilation=2),
    Block("sep_3x3_second", 4, 3, second=True),
    Block("sep_5x5_second", 5, 5, second=True),
)


def reductions(cells: int) -> tuple[int, int]:
    """Indices of the two reduction cells of a network."""
    return cells // 3, 2 * cells // 3


Active = tuple[tuple[int, ...], ...]
"""For each row the operations that are computed."""
ALL: Active = (tuple(range(1, len(OPERATIONS))),) * len(EDGES)


def active(choice: Sequence[int]) -> Active:
    """The operations along a path; `none` computes nothing."""
    return tuple(() if operation == 0 else (operation,) for operation in choice)


def blocks_of(operation: int) -> tuple[Block, ...]:
    """The blocks of an operation, in order; none for pools and skips."""
    return tuple(block for block in BLOCKS if block.operation == operation)
