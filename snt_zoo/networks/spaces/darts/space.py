"""The DARTS space with its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces.base import (
    IN_CHANNELS,
    SearchSpace,
    SupernetTrunk,
    register_space,
)
from snt_zoo.networks.spaces.costs import Bound, Choice, Costs
from snt_zoo.networks.spaces.darts.layout import EDGES, KEPT, MAX_SKIPS, NODES, OPERATIONS, SKIP, reductions
from snt_zoo.networks.spaces.darts.network import Network
from snt_zoo.networks.spaces.darts.operations import build_operation
from snt_zoo.networks.spaces.parts import Joining, Part, Parts
from snt_zoo.networks.spaces.solving import Rule, best_choice


@register_space("darts")
@dataclass(frozen=True)
class Darts(SearchSpace):
    """The DARTS space.

    Args:
        channels: C of the first cells (16 in the paper's search).
        cells: number of cells (8 in the paper's search).
        stem_multiplier: the stem has this times C channels (3 in the paper's code).
        partial_channels: K; only one K-th of the channels goes through the operations, the others pass by
            (PC-DARTS, Xu et al. 2020, section 3.2). A derived network keeps the partial connections.
        stem_stride: 1 as in the paper, or 2 for a quarter of the cost.
    """

    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    never: ClassVar[tuple[str, ...]] = ("none",)
    settle_share: ClassVar[float] = 0.7  # docs/decisions.md, 71
    depthwise: ClassVar[bool] = True
    mac_time: ClassVar[float] = 6.0  # docs/decisions.md, 72: many small convolutions
    added_later: ClassVar[frozenset[str]] = frozenset({"partial_channels", "stem_stride"})
    edges: ClassVar[Mapping[str, tuple[tuple[int, int], ...]]] = {"normal": EDGES, "reduce": EDGES}
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        "channels": (1, 128),
        "cells": (3, 32),
        "stem_multiplier": (1, 4),
        "partial_channels": (1, 16),
        "stem_stride": (1, 2),
    }

    channels: int = 16
    cells: int = 8
    stem_multiplier: int = 3
    partial_channels: int = 1
    stem_stride: int = 1

    def validate(self) -> None:
        super().validate()
        if self.channels % self.partial_channels:
            raise ConfigError(
                f"search space darts: partial_channels ({self.partial_channels}) must divide channels "
                f"({self.channels}); choose another of the two"
            )

    @property
    def feature_dim(self) -> int:
        return NODES * self.channels * 4

    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        return Network(in_channels, None, **self.hyperparameters())

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return Network(in_channels, _check(genotype), **self.hyperparameters())

    def pieces(self, trunk: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(trunk, Network)
        return trunk.pieces()

    def discretise(self, mixture: Mapping[str, Tensor]) -> Genotype:
        """The two strongest edges into each node, each with its strongest operation, guarded.

        Strength is the largest weight of an operation other than `none` (section 2.4). At most
        `MAX_SKIPS` of a cell's eight edges may be `skip_connect` (the collapse that DARTS+ bounds, Liang
        et al. 2019, arXiv 1909.06035): until it is so, the kept skip that loses least by it becomes the
        strongest operation of its edge that computes.
        """
        cells: dict[str, tuple[Edge, ...]] = {}
        for kind, weights in mixture.items():
            weights = weights.detach().cpu()
            strength, best = weights[:, 1:].max(dim=1)
            computing, instead = weights.index_fill(1, torch.tensor([0, SKIP]), -1.0).max(dim=1)
            chosen = (best + 1).tolist()
            kept: list[int] = []
            for target in range(2, 2 + NODES):
                rows = [row for row, (_, t) in enumerate(EDGES) if t == target]
                rows.sort(key=lambda row: float(strength[row]), reverse=True)
                kept.extend(sorted(rows[:KEPT]))
            skips = [row for row in kept if chosen[row] == SKIP]
            skips.sort(key=lambda row: float(strength[row] - computing[row]))
            for row in skips[: max(0, len(skips) - MAX_SKIPS)]:
                chosen[row] = int(instead[row])
            cells[kind] = tuple(Edge(*EDGES[row], OPERATIONS[chosen[row]]) for row in kept)
        return Genotype(self.name, cells)

    def costs(self, input_size: int) -> Costs:
        params = {kind: torch.zeros(len(EDGES), len(OPERATIONS), dtype=torch.int64) for kind in self.edges}
        macs = {kind: torch.zeros_like(table) for kind, table in params.items()}
        width = self.stem_multiplier * self.channels
        fixed_params = IN_CHANNELS * 9 * width + 2 * width
        side = -(-input_size // self.stem_stride)  # a strided convolution with padding halves upwards
        fixed_macs = IN_CHANNELS * 9 * width * side**2
        c, c_before, c_last = self.channels, width, width
        for index in range(self.cells):
            reduce = index in reductions(self.cells)
            c *= 2 if reduce else 1
            kind = "reduce" if reduce else "normal"
            # Both inputs are brought to c channels at the side of the last cell's output.
            fixed_params += (c_before + c_last) * c + 2 * 2 * c
            fixed_macs += (c_before + c_last) * c * side**2
            out = -(-side // 2) if reduce else side
            for row, (source, _) in enumerate(EDGES):
                stride = 2 if reduce and source < 2 else 1
                for column, name in enumerate(OPERATIONS[1:], start=1):
                    weights, norms = _size(name, c // self.partial_channels, stride)
                    params[kind][row, column] += weights + norms
                    macs[kind][row, column] += weights * out**2
            side = out
            c_before, c_last = c_last, NODES * c
        return Costs(fixed_params, fixed_macs, params, macs)

    def parts(self, input_size: int) -> Parts:
        found: dict[str, list[list[tuple[Part, ...]]]] = {
            kind: [[()] * len(OPERATIONS) for _ in EDGES] for kind in self.edges
        }
        side, channels = -(-input_size // self.stem_stride), self.channels
        for index in range(self.cells):
            reduce = index in reductions(self.cells)
            channels *= 2 if reduce else 1
            kind = "reduce" if reduce else "normal"
            width, out = channels // self.partial_channels, -(-side // 2) if reduce else side
            for row, (source, _) in enumerate(EDGES):
                halves = reduce and source < 2
                for column, name in enumerate(OPERATIONS):
                    if name != "none" and (halves or name != "skip_connect"):
                        found[kind][row][column] += (_part(name, width, side if halves else out, halves),)
            side = out
        return found

    def rules(self) -> Sequence[Rule]:
        """Two edges into each node, and at most `MAX_SKIPS` skips in a cell."""
        found = []
        for kind in self.edges:
            skips = torch.zeros(len(EDGES), len(OPERATIONS))
            skips[:, SKIP] = 1
            found.append(Rule({kind: skips}, 0, MAX_SKIPS))
            for node in range(2, 2 + NODES):
                into = torch.zeros(len(EDGES), len(OPERATIONS))
                for row, (_, target) in enumerate(EDGES):
                    into[row, 1:] = float(target == node)
                found.append(Rule({kind: into}, KEPT, KEPT))
        return found

    def best_genotype(self, scores: Mapping[str, Tensor], bound: Bound) -> Genotype | None:
        """As in the base class; `none` stands for an edge that is not kept and counts nothing."""
        kept = {kind: table.index_fill(1, torch.tensor([0]), 0.0) for kind, table in scores.items()}
        choice = best_choice(kept, bound, self.rules())
        return None if choice is None else self.genotype(choice)

    def genotype(self, choice: Choice) -> Genotype:
        whole = super().genotype(choice).cells
        cells = {kind: tuple(e for e in edges if e.operation != "none") for kind, edges in whole.items()}
        return Genotype(self.name, cells)


def _part(name: str, channels: int, side: int, halves: bool) -> Part:
    """An operation by itself; see `SearchSpace.parts`."""
    stride = 2 if halves else 1

    def build() -> nn.Module:
        operation = build_operation(name, channels, stride, True)
        return operation if halves else Joining(operation)

    return Part(f"darts {name} {channels}@{side}/{stride}", channels, side, not halves, build)


def _size(name: str, channels: int, stride: int) -> tuple[int, int]:
    """Weights of the convolutions of an operation, and parameters of its affine norms."""
    match name:
        case "sep_conv_3x3" | "sep_conv_5x5":
            return 2 * (int(name[-1]) ** 2 * channels + channels**2), 4 * channels
        case "dil_conv_3x3" | "dil_conv_5x5":
            return int(name[-1]) ** 2 * channels + channels**2, 2 * channels
        case "skip_connect":
            return (0, 0) if stride == 1 else (channels**2, 2 * channels)
        case _:
            return 0, 2 * channels


def _check(genotype: Genotype) -> Genotype:
    def good_cell(edges: tuple[Edge, ...]) -> bool:
        targets = [e.target for e in edges]
        return (
            targets == sorted(targets)
            and all(targets.count(node) == KEPT for node in range(2, 2 + NODES))
            and len(edges) == KEPT * NODES
            and len({(e.source, e.target) for e in edges}) == len(edges)
            and all((e.source, e.target) in EDGES and e.operation in OPERATIONS[1:] for e in edges)
        )

    if (
        genotype.space != "darts"
        or set(genotype.cells) != {"normal", "reduce"}
        or not all(map(good_cell, genotype.cells.values()))
    ):
        raise ConfigError(
            "a darts genotype must have a normal and a reduce cell, each with two edges into each of "
            f"nodes 2 to 5 and one of {', '.join(OPERATIONS[1:])} on each; got {genotype}"
        )
    return genotype
