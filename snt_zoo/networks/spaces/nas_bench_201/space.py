"""The search space: its hyperparameters, what its alphas derive to, what that costs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.spaces.base import IN_CHANNELS, SearchSpace, SupernetTrunk, register_space
from snt_zoo.networks.spaces.costs import Bound, Choice, Costs
from snt_zoo.networks.spaces.nas_bench_201.derived_cell import build_edge
from snt_zoo.networks.spaces.nas_bench_201.layout import (
    EDGES,
    MIN_COMPUTING,
    OPERATIONS,
    SKIP,
    all_cells,
    cell_of,
    check,
    live,
)
from snt_zoo.networks.spaces.nas_bench_201.network import STAGES, Skeleton
from snt_zoo.networks.spaces.parts import Part, Parts


@register_space("nas_bench_201")
@dataclass(frozen=True)
class NasBench201(SearchSpace):
    """NAS-Bench-201's space.

    Args:
        channels: C, channels of the first stage.
        cells_per_stage: N, cells in each of the three stages (5 in the paper).
        stem_stride: 1 as in the paper, or 2 for a quarter of the cost.
        partial_channels: K; 1/K of the channels go through the operations (1: all; divides `channels`).
    """

    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    edges: ClassVar[Mapping[str, tuple[tuple[int, int], ...]]] = {"cell": EDGES}
    added_later: ClassVar[frozenset[str]] = frozenset({"partial_channels"})
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        "channels": (1, 256),
        "cells_per_stage": (1, 12),
        "stem_stride": (1, 2),
        "partial_channels": (1, 8),
    }

    channels: int = 16
    cells_per_stage: int = 1
    stem_stride: int = 1
    partial_channels: int = 1

    def validate(self) -> None:
        super().validate()
        if self.channels % self.partial_channels:
            raise ConfigError(
                f"search space {self.name}: channels must be a multiple of partial_channels, got "
                f"{self.channels} and {self.partial_channels}; correct one of them in the config"
            )

    @property
    def feature_dim(self) -> int:
        return 4 * self.channels

    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        return Skeleton(in_channels, None, **self.hyperparameters())

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return Skeleton(in_channels, check(genotype), **self.hyperparameters())

    def pieces(self, trunk: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(trunk, Skeleton)
        return trunk.pieces()

    def discretise(self, mixture: Mapping[str, Tensor]) -> Genotype:
        """The strongest operation of each edge (Dong and Yang 2020, section 4), guarded.

        At least `MIN_COMPUTING` edges must compute something and lie on a way from input to output:
        `none` and `skip_connect` win early in a search, since they have nothing to learn (the collapse
        that DARTS+ bounds, Liang et al. 2019). Until it is so, the edge that loses least by it takes its
        strongest operation that computes.
        """
        weights = mixture["cell"].detach().cpu()
        best = weights.argmax(1)
        computing, chosen = weights[:, SKIP + 1 :].max(1)
        loss = weights.max(1).values - computing
        while True:
            cell = cell_of(best.tolist())
            active = [e for e in live(cell) if OPERATIONS.index(e.operation) > SKIP]
            if len(active) >= MIN_COMPUTING:
                return Genotype(self.name, {"cell": cell})
            promoted = int(loss.masked_fill(best > SKIP, float("inf")).argmin())
            best[promoted] = chosen[promoted] + SKIP + 1

    def costs(self, input_size: int) -> Costs:
        side = -(-input_size // self.stem_stride)  # a strided convolution with padding halves upwards
        params = torch.zeros(len(EDGES), len(OPERATIONS), dtype=torch.int64)
        macs = torch.zeros_like(params)
        fixed_params = IN_CHANNELS * 9 * self.channels + 2 * self.channels + 2 * self.feature_dim
        fixed_macs = IN_CHANNELS * 9 * self.channels * side**2
        for stage in range(STAGES):
            channels = self.channels * 2**stage
            width = channels // self.partial_channels
            for name, kernel in (("nor_conv_1x1", 1), ("nor_conv_3x3", 3)):
                column = OPERATIONS.index(name)
                params[:, column] += self.cells_per_stage * (kernel**2 * width**2 + 2 * width)
                macs[:, column] += self.cells_per_stage * kernel**2 * width**2 * side**2
            if stage < STAGES - 1:
                side = -(-side // 2)
                weights = 9 * channels * 2 * channels + 9 * (2 * channels) ** 2 + channels * 2 * channels
                fixed_params += weights + 2 * 2 * (2 * channels)
                fixed_macs += weights * side**2
        return Costs(fixed_params, fixed_macs, {"cell": params}, {"cell": macs})

    def parts(self, input_size: int) -> Parts:
        by_operation: list[list[Part]] = [[] for _ in OPERATIONS]
        side = -(-input_size // self.stem_stride)
        for stage in range(STAGES):
            width = self.channels * 2**stage // self.partial_channels
            for column, name in enumerate(OPERATIONS):
                if name not in self.idle:
                    build = functools.partial(build_edge, name, width)
                    part = Part(f"{self.name} {name} {width}@{side}", width, side, True, build)
                    by_operation[column] += [part] * self.cells_per_stage
            side = -(-side // 2)
        return {"cell": [[tuple(parts) for parts in by_operation]] * len(EDGES)}

    def best_genotype(self, scores: Mapping[str, Tensor], bound: Bound) -> Genotype | None:
        """As in the base class, by going through all cells: edges that lead nowhere cost nothing."""
        choices, live = all_cells()
        rows = torch.arange(len(EDGES))
        total = scores["cell"].detach().double().cpu()[rows, choices].sum(1)
        for table, most in bound.limits():
            spent = (table["cell"][rows, choices] * live).sum(1)
            total = total.masked_fill(spent > most, -torch.inf)
        best = int(total.argmax())
        return None if total[best] == -torch.inf else self.genotype({"cell": choices[best].tolist()})

    def pruned(self, choice: Choice) -> Choice:
        kept = {(e.source, e.target): e.operation for e in live(cell_of(choice["cell"]))}
        return {"cell": [OPERATIONS.index(kept.get(edge, "none")) for edge in EDGES]}
