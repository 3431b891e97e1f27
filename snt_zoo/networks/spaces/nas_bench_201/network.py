"""The whole network: stem, stages of cells, reductions; of a supernet and of a derived network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces.base import Owner, Rows, SupernetTrunk
from snt_zoo.networks.spaces.costs import Choice
from snt_zoo.networks.spaces.nas_bench_201.derived_cell import ConvNorm, DerivedCell
from snt_zoo.networks.spaces.nas_bench_201.layout import EDGES, OPERATIONS
from snt_zoo.networks.spaces.nas_bench_201.mixed_cell import MixedCell

STAGES = 3


class Reduction(nn.Module):
    """Residual block of stride 2 between two stages (He et al. 2016, as in the paper's skeleton)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        out = 2 * channels
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        # ceil_mode: an odd side halves upwards, as the strided convolution of the body does.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(channels, out, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


class Skeleton(SupernetTrunk):
    """Stem, stages, reductions and the last norm; `MixedCell` or `DerivedCell` inside.

    Args:
        in_channels: of the images.
        edges: of a derived network's cells; None for a supernet.
        channels, cells_per_stage, stem_stride, partial_channels: as of `NasBench201`.
    """

    def __init__(
        self,
        in_channels: int,
        edges: tuple[Edge, ...] | None,
        *,
        channels: int,
        cells_per_stage: int,
        stem_stride: int,
        partial_channels: int,
    ) -> None:
        super().__init__()
        self.mixed = edges is None
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.cells_per_stage = cells_per_stage
        self.cells = nn.ModuleList()
        self.reductions = nn.ModuleList()
        for stage in range(STAGES):
            width = channels * 2**stage
            for _ in range(cells_per_stage):
                self.cells.append(
                    MixedCell(width, partial_channels)
                    if edges is None
                    else DerivedCell(width, edges, partial_channels)
                )
            if stage < STAGES - 1:
                self.reductions.append(Reduction(width))
        self.norm = nn.BatchNorm2d(width)

    def forward(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        weights = None if mixture is None else mixture["cell"]
        path = None if choice is None else choice["cell"]
        x = self.stem(x)
        for index, cell in enumerate(self.cells, start=1):
            x = cell(x, weights, path) if self.mixed else cell(x)
            stage, last_of_stage = divmod(index, self.cells_per_stage)
            if last_of_stage == 0 and stage < STAGES:
                x = self.reductions[stage - 1](x)
        return torch.relu(self.norm(x)).mean((2, 3))

    @torch.no_grad()
    def inherit(self, derived: nn.Module, genotype: Genotype) -> None:
        assert isinstance(derived, Skeleton)
        for name in ("stem", "reductions", "norm"):
            getattr(derived, name).load_state_dict(getattr(self, name).state_dict())
        for mixed, plain in zip(self.cells, derived.cells, strict=True):
            assert isinstance(mixed, MixedCell) and isinstance(plain, DerivedCell)
            for edge, operation in zip(plain.edges, plain.operations, strict=True):
                if isinstance(operation, ConvNorm):
                    mixed.fan_out(edge).copy_to(operation, edge.target - edge.source - 1)

    def pieces(self) -> Mapping[str, nn.Module]:
        """As of `SearchSpace`, of a derived trunk."""
        found: dict[str, nn.Module] = {name: getattr(self, name) for name in ("stem", "reductions", "norm")}
        for index, cell in enumerate(self.cells):
            assert isinstance(cell, DerivedCell)
            for edge, operation in zip(cell.edges, cell.operations, strict=True):
                found[f"{index} {edge}"] = operation
        return found

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        owned: dict[Owner, list[Rows]] = {}
        for cell in self.cells:
            assert isinstance(cell, MixedCell)
            for row, (source, target) in enumerate(EDGES):
                for name in ("nor_conv_1x1", "nor_conv_3x3"):
                    fan_out = cell.fan_out(Edge(source, target, name))
                    weight = fan_out.conv.weight
                    assert isinstance(weight, nn.Parameter)
                    rows = fan_out.rows(target - source - 1)
                    owned.setdefault(("cell", row, OPERATIONS.index(name)), []).append((weight, rows))
        return owned
