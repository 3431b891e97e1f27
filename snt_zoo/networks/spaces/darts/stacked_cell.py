"""The weights of a mixed DARTS cell: one tensor holds those of one block of all 14 edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from snt_zoo.networks.genotype import Edge
from snt_zoo.networks.kernels import Workspace
from snt_zoo.networks.spaces.base import Rows
from snt_zoo.networks.spaces.darts.layout import (
    BLOCKS,
    EDGES,
    OPERATIONS,
    PLACE,
    POOLS,
    SKIP,
    SOURCES,
    Block,
    blocks_of,
)
from snt_zoo.networks.spaces.darts.operations import Cell, FactorisedReduction, stack_of
from snt_zoo.networks.spaces.part_norm import copy_statistics


def _stacked(channels: int, kernel: int, groups: int) -> nn.Conv2d:
    """A convolution that only holds the weights of all edges; it is never called as it is."""
    copies = len(EDGES)
    conv = nn.Conv2d(copies * channels, copies * channels, kernel, groups=copies * groups, bias=False)
    conv.copies = copies  # type: ignore[assignment]  # read by `initialise`
    return conv


class StackedCell(Cell):
    """What a mixed cell holds, and where in it an edge's part is.

    Args:
        c_before: channels of the first input.
        c_last: channels of the second input.
        channels: C of the nodes.
        workspace: of the network; the compiled kernels keep their tensors there.
        partial: K; only the first C/K channels go through the operations (PC-DARTS), 1 for all.
        halve_before: whether the first input is twice as large as the second.
        reduce: whether the edges that leave the inputs have stride 2.
    """

    def __init__(
        self,
        c_before: int,
        c_last: int,
        channels: int,
        *,
        workspace: Workspace,
        partial: int,
        halve_before: bool,
        reduce: bool,
    ) -> None:
        # No norm is affine: a scale would make the alphas meaningless (Liu et al. 2019, section 3).
        super().__init__(c_before, c_last, channels, halve_before, affine=False)
        width = channels // partial
        self.workspace = workspace
        self.partial = partial
        self.width = width
        self.reduce = reduce
        edges = len(EDGES)
        self.depthwise = nn.ModuleDict({b.name: _stacked(width, b.kernel, width) for b in BLOCKS})
        self.pointwise = nn.ModuleDict({b.name: _stacked(width, 1, 1) for b in BLOCKS})
        self.norms = nn.ModuleDict({b.name: nn.BatchNorm2d(edges * width, affine=False) for b in BLOCKS})
        # The pools have no weights: one norm serves all edges that leave a node.
        self.pool_norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(len(SOURCES) * width, affine=False) for name in POOLS}
        )
        self.skips = nn.ModuleDict(
            {
                f"{source}_{target}": FactorisedReduction(width, width, affine=False)
                for source, target in EDGES
                if self.stride(source) == 2
            }
        )

    def stride(self, source: int) -> int:
        """Stride of the edges that leave a node."""
        return 2 if self.reduce and source < 2 else 1

    def skip(self, row: int) -> FactorisedReduction | None:
        """The strided skip of an edge; None where it is the identity."""
        name = "{}_{}".format(*EDGES[row])
        return cast("FactorisedReduction", self.skips[name]) if name in self.skips else None

    def weights(self, block: Block, row: int) -> tuple[Tensor, Tensor]:
        """Depthwise ``width x 1 x k x k`` and pointwise ``width x width x 1 x 1`` weights of an edge."""
        rows = self.rows(row)
        return stack_of(self.depthwise, block)[rows], stack_of(self.pointwise, block)[rows]

    def rows(self, row: int, count: int = 1) -> slice:
        """The channels of an edge (and of those that follow it in the stack) in the stacked tensors."""
        place = PLACE[row]
        return slice(place * self.width, (place + count) * self.width)

    def inherit(self, edge: Edge, plain: nn.Module) -> None:
        """Copy an edge's operation into the derived one; its norms' scale and shift stay 1 and 0."""
        row = EDGES.index((edge.source, edge.target))
        operation = OPERATIONS.index(edge.operation)
        norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
        if operation == SKIP:
            strided = self.skip(row)
            if strided is not None:
                copy_matching(strided, plain)
        elif edge.operation in POOLS:
            place = slice(edge.source * self.width, (edge.source + 1) * self.width)
            copy_statistics(self.pool_norms[edge.operation], norms[0], place)
        else:
            convs = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
            for index, block in enumerate(blocks_of(operation)):
                for conv, weight in zip(convs[2 * index :], self.weights(block, row), strict=False):
                    conv.weight.copy_(weight)
                copy_statistics(self.norms[block.name], norms[index], self.rows(row))

    def operation_parameters(self) -> Mapping[tuple[int, int], Sequence[Rows]]:
        """Row and operation to the parameters, with the part along dimension 0, None for the whole."""
        found: dict[tuple[int, int], list[Rows]] = {}
        for row in range(len(EDGES)):
            strided = self.skip(row)
            if strided is not None:
                found[row, SKIP] = [(parameter, None) for parameter in strided.parameters()]
            for block in BLOCKS:
                for group in (self.depthwise, self.pointwise):
                    stack = stack_of(group, block)
                    found.setdefault((row, block.operation), []).append((stack, self.rows(row)))
        return found


def copy_matching(source: nn.Module, target: nn.Module) -> None:
    """Copy a module into the same with affine norms, whose scale and shift stay 1 and 0."""
    affine = {
        f"{name}.{part}" if name else part
        for name, module in target.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    missing, unexpected = target.load_state_dict(source.state_dict(), strict=False)
    assert not unexpected and set(missing) <= affine
