"""Stem and cells of a DARTS network, mixed or derived."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.kernels import Workspace
from snt_zoo.networks.spaces.base import Owner, Rows, SupernetTrunk
from snt_zoo.networks.spaces.costs import Choice
from snt_zoo.networks.spaces.darts.derived_cell import DerivedCell
from snt_zoo.networks.spaces.darts.layout import NODES, reductions
from snt_zoo.networks.spaces.darts.mixed_cell import MixedCell
from snt_zoo.networks.spaces.darts.stacked_cell import copy_matching


class Network(SupernetTrunk):
    """Stem and cells; mixed without a genotype, derived with one.

    Args:
        in_channels: of the images.
        genotype: of a derived network; None for a supernet.
        channels, cells, stem_multiplier, partial_channels, stem_stride: as of `Darts`.
    """

    def __init__(
        self,
        in_channels: int,
        genotype: Genotype | None,
        *,
        channels: int,
        cells: int,
        stem_multiplier: int,
        partial_channels: int,
        stem_stride: int,
    ) -> None:
        super().__init__()
        self.mixed = genotype is None
        width = stem_multiplier * channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.cells = nn.ModuleList()
        self.kinds: list[str] = []
        workspace = Workspace()
        c_before = c_last = width
        halve_before = False
        for index in range(cells):
            reduce = index in reductions(cells)
            channels *= 2 if reduce else 1
            kind = "reduce" if reduce else "normal"
            self.kinds.append(kind)
            make = (
                functools.partial(MixedCell, workspace=workspace)
                if genotype is None
                else functools.partial(DerivedCell, edges=genotype.cells[kind])
            )
            cell = make(
                c_before, c_last, channels, partial=partial_channels, halve_before=halve_before, reduce=reduce
            )
            self.cells.append(cell)
            halve_before = reduce
            c_before, c_last = c_last, NODES * channels

    def forward(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        before = last = self.stem(x)
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            if self.mixed:
                weights = None if mixture is None else mixture[kind]
                path = None if choice is None else choice[kind]
                state = cell(before, last, weights, path)
            else:
                state = cell(before, last)
            before, last = last, state
        out: Tensor = last.mean((2, 3))
        return out

    @torch.no_grad()
    def inherit(self, derived: nn.Module, genotype: Genotype) -> None:
        assert isinstance(derived, Network)
        derived.stem.load_state_dict(self.stem.state_dict())
        for mixed, plain in zip(self.cells, derived.cells, strict=True):
            assert isinstance(mixed, MixedCell) and isinstance(plain, DerivedCell)
            copy_matching(mixed.before, plain.before)
            copy_matching(mixed.last, plain.last)
            for edge, operation in zip(plain.edges, plain.operations, strict=True):
                mixed.inherit(edge, operation)

    def pieces(self) -> Mapping[str, nn.Module]:
        """As of `SearchSpace`, of a derived trunk."""
        found: dict[str, nn.Module] = {"stem": self.stem}
        for index, cell in enumerate(self.cells):
            assert isinstance(cell, DerivedCell)
            found |= {f"{index} before": cell.before, f"{index} last": cell.last}
            for edge, operation in zip(cell.edges, cell.operations, strict=True):
                found[f"{index} {edge}"] = operation
        return found

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        found: dict[Owner, list[Rows]] = {}
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            assert isinstance(cell, MixedCell)
            for (row, operation), parameters in cell.operation_parameters().items():
                found.setdefault((kind, row, operation), []).extend(parameters)
        return found
