"""The DARTS space with its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.search.genotype import Edge, Genotype
from snt_zoo.search.spaces.base import SearchSpace, SupernetTrunk, register_space
from snt_zoo.search.spaces.darts.layout import EDGES, KEPT, NODES, OPERATIONS
from snt_zoo.search.spaces.darts.network import Network


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
    """

    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    edges: ClassVar[Mapping[str, tuple[tuple[int, int], ...]]] = {"normal": EDGES, "reduce": EDGES}
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        "channels": (1, 128),
        "cells": (3, 32),
        "stem_multiplier": (1, 4),
        "partial_channels": (1, 16),
    }

    channels: int = 16
    cells: int = 8
    stem_multiplier: int = 3
    partial_channels: int = 1

    def validate(self) -> None:
        super().validate()
        if self.channels % self.partial_channels:
            raise ConfigError(
                f"search space darts: partial_channels ({self.partial_channels}) must divide channels "
                f"({self.channels}); choose another of the two"
            )

    @property
    def reductions(self) -> tuple[int, int]:
        """Indices of the two reduction cells."""
        return self.cells // 3, 2 * self.cells // 3

    @property
    def feature_dim(self) -> int:
        return NODES * self.channels * 4

    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        return Network(self, in_channels, None)

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return Network(self, in_channels, _check(genotype))

    def discretise(self, mixture: Mapping[str, Tensor]) -> Genotype:
        """The two strongest edges into each node, each with its strongest operation.

        Strength is the largest weight of an operation other than `none` (section 2.4).
        """
        cells: dict[str, tuple[Edge, ...]] = {}
        for kind, weights in mixture.items():
            strength, best = weights.detach().cpu()[:, 1:].max(dim=1)
            kept: list[Edge] = []
            for target in range(2, 2 + NODES):
                rows = [row for row, (_, t) in enumerate(EDGES) if t == target]
                rows.sort(key=lambda row: float(strength[row]), reverse=True)
                kept.extend(Edge(*EDGES[row], OPERATIONS[1 + int(best[row])]) for row in sorted(rows[:KEPT]))
            cells[kind] = tuple(kept)
        return Genotype(self.name, cells)


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
