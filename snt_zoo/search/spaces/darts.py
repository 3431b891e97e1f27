"""The DARTS space (Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055, section 3.1).

A cell has two inputs (the outputs of the two cells before it), four nodes, and gives the concatenation of
the nodes. Every node receives an edge from both inputs and from every earlier node: 14 edges, eight
operations each. Cells at one third and two thirds of the depth are reduction cells with stride 2 and
alphas of their own. A derived cell keeps the two strongest edges into each node.

Work that the edges of one state share (its ReLU, its pooling) is done once for each state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.search.genotype import Edge, Genotype
from snt_zoo.search.spaces.base import (
    IN_CHANNELS,
    Choice,
    Owner,
    Rows,
    SearchSpace,
    SupernetTrunk,
    register_space,
)
from snt_zoo.search.spaces.costs import Bound, Costs
from snt_zoo.search.spaces.solving import Rule, best_choice

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
# Nodes 0 and 1 are the inputs; 2 to 5 the four nodes. Grouped by target node, as in the paper's figure.
EDGES = tuple((s, t) for t in range(2, 2 + NODES) for s in range(t))


class _ReLUConvNorm(nn.Sequential):
    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__(
            nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine)
        )


class _FactorisedReduction(nn.Module):
    """Halves height and width: two strided 1×1 convolutions, the second on pixels shifted by one."""

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        # Sides may be odd: the shifted half is padded to the size of the other.
        pad_h, pad_w = x.shape[2] % 2, x.shape[3] % 2
        shifted = (
            nn.functional.pad(x[:, :, 1:, 1:], (0, pad_w, 0, pad_h)) if pad_h or pad_w else x[:, :, 1:, 1:]
        )
        out: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
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
    return nn.Sequential(*layers)


def _dilated(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(
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


def _operation(name: str, channels: int, stride: int, affine: bool) -> nn.Module:
    match name:
        case "sep_conv_3x3" | "sep_conv_5x5":
            return _separable(channels, int(name[-1]), stride, affine)
        case "dil_conv_3x3" | "dil_conv_5x5":
            return _dilated(channels, int(name[-1]), stride, affine)
        case "max_pool_3x3" | "avg_pool_3x3":
            return _pool(name, channels, stride, affine)
        case "skip_connect":
            return nn.Identity() if stride == 1 else _FactorisedReduction(channels, channels, affine)
        case _:
            raise ConfigError(f"no operation {name!r} in darts: choose one of {', '.join(OPERATIONS)}")


class _Cell(nn.Module):
    """What mixed and derived cells share: the two inputs brought to one shape."""

    def __init__(self, c_before: int, c_last: int, channels: int, halve_before: bool, affine: bool) -> None:
        super().__init__()
        self.before: nn.Module = (
            _FactorisedReduction(c_before, channels, affine)
            if halve_before
            else _ReLUConvNorm(c_before, channels, affine)
        )
        self.last = _ReLUConvNorm(c_last, channels, affine)


class _MixedCell(_Cell):
    """A cell in which every edge is the weighted sum of its eight operations."""

    def __init__(
        self, c_before: int, c_last: int, channels: int, *, halve_before: bool, reduce: bool
    ) -> None:
        # Not affine: a scale would make the alphas meaningless (section 3).
        super().__init__(c_before, c_last, channels, halve_before, affine=False)
        self.pools = nn.ModuleDict()  # shared by the edges that leave a state with the same stride
        self.mixed = nn.ModuleDict()
        for source, target in EDGES:
            stride = 2 if reduce and source < 2 else 1
            if str(source) not in self.pools:
                self.pools[str(source)] = nn.ModuleDict(
                    {name: _pool(name, channels, stride, False) for name in OPERATIONS[1:3]}
                )
            self.mixed[f"{source}_{target}"] = nn.ModuleDict(
                {name: _operation(name, channels, stride, False) for name in OPERATIONS[3:]}
            )

    def forward(
        self,
        before: Tensor,
        last: Tensor,
        mixture: Tensor | None,
        choice: Sequence[int] | None = None,
    ) -> Tensor:
        states = [self.before(before), self.last(last)]
        if choice is not None:
            return self._path(states, mixture, choice)
        assert mixture is not None
        return self._mixed(states, mixture)

    def operation(self, edge: Edge) -> nn.Module:
        """The module of an edge's operation."""
        pool = edge.operation in OPERATIONS[1:3]
        group = self.pools[str(edge.source)] if pool else self.mixed[f"{edge.source}_{edge.target}"]
        assert isinstance(group, nn.ModuleDict)
        return group[edge.operation]

    def _path(self, states: list[Tensor], mixture: Tensor | None, choice: Sequence[int]) -> Tensor:
        for row, ((source, target), index) in enumerate(zip(EDGES, choice, strict=True)):
            name = OPERATIONS[index]
            if name != "none":
                message = self.operation(Edge(source, target, name))(states[source])
                if mixture is not None:
                    message = message * mixture[row, index]
                if target == len(states):
                    states.append(message)
                else:
                    states[target] = states[target] + message
            elif source == target - 1 and target == len(states):
                raise ConfigError(f"the path {list(choice)} leaves node {target} without an input")
        return torch.cat(states[2:], dim=1)

    def _mixed(self, states: list[Tensor], mixture: Tensor) -> Tensor:
        pooled: dict[int, list[Tensor]] = {}
        active: dict[int, Tensor] = {}
        for row, (source, target) in enumerate(EDGES):
            state = states[source]
            if source not in pooled:
                names = OPERATIONS[1:3]
                pooled[source] = [self.operation(Edge(source, target, name))(state) for name in names]
                active[source] = torch.relu(state)
            outputs = list(pooled[source])
            for name in OPERATIONS[3:]:
                operation = self.operation(Edge(source, target, name))
                if isinstance(operation, nn.Sequential):
                    # The convolutions begin with a ReLU, which is done once for all of them.
                    outputs.append(operation[1:](active[source]))
                else:
                    outputs.append(operation(state))
            weights = mixture[row, 1:]
            message = outputs[0] * weights[0]
            for output, weight in zip(outputs[1:], weights[1:], strict=True):
                message = torch.addcmul(message, output, weight)
            if target == len(states):
                states.append(message)
            else:
                states[target] = states[target] + message
        return torch.cat(states[2:], dim=1)


class _DerivedCell(_Cell):
    """A cell with the kept edges only."""

    def __init__(
        self,
        c_before: int,
        c_last: int,
        channels: int,
        edges: tuple[Edge, ...],
        *,
        halve_before: bool,
        reduce: bool,
    ) -> None:
        super().__init__(c_before, c_last, channels, halve_before, affine=True)
        self.edges = edges
        self.operations = nn.ModuleList(
            _operation(e.operation, channels, 2 if reduce and e.source < 2 else 1, True) for e in edges
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        states: dict[int, Tensor] = {0: self.before(before), 1: self.last(last)}
        for edge, operation in zip(self.edges, self.operations, strict=True):
            message = operation(states[edge.source])
            known = states.get(edge.target)
            states[edge.target] = message if known is None else known + message
        return torch.cat([states[node] for node in range(2, 2 + NODES)], dim=1)


class _Network(SupernetTrunk):
    """Stem and cells; mixed without a genotype, derived with one."""

    def __init__(self, space: Darts, in_channels: int, genotype: Genotype | None) -> None:
        super().__init__()
        c = space.channels
        self.mixed = genotype is None
        width = space.stem_multiplier * c
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.cells = nn.ModuleList()
        self.kinds: list[str] = []
        c_before = c_last = width
        halve_before = False
        for index in range(space.cells):
            reduce = index in space.reductions
            c *= 2 if reduce else 1
            kind = "reduce" if reduce else "normal"
            self.kinds.append(kind)
            if genotype is None:
                cell: nn.Module = _MixedCell(c_before, c_last, c, halve_before=halve_before, reduce=reduce)
            else:
                cell = _DerivedCell(
                    c_before,
                    c_last,
                    c,
                    genotype.cells[kind],
                    halve_before=halve_before,
                    reduce=reduce,
                )
            self.cells.append(cell)
            halve_before = reduce
            c_before, c_last = c_last, NODES * c

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
        assert isinstance(derived, _Network)
        derived.stem.load_state_dict(self.stem.state_dict())
        for mixed, plain in zip(self.cells, derived.cells, strict=True):
            assert isinstance(mixed, _MixedCell) and isinstance(plain, _DerivedCell)
            _copy(mixed.before, plain.before)
            _copy(mixed.last, plain.last)
            for edge, operation in zip(plain.edges, plain.operations, strict=True):
                _copy(mixed.operation(edge), operation)

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        owned: dict[Owner, list[Rows]] = {}
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            assert isinstance(cell, _MixedCell)
            for row, edge in enumerate(EDGES):
                for column, name in enumerate(OPERATIONS[1:], start=1):
                    weights = cell.operation(Edge(*edge, name)).parameters()
                    owned.setdefault((kind, row, column), []).extend((weight, None) for weight in weights)
        return {owner: rows for owner, rows in owned.items() if rows}


def _copy(source: nn.Module, target: nn.Module) -> None:
    # Derived norms are affine and the supernet's are not: their scale and shift stay 1 and 0.
    affine = {
        f"{name}.{part}"
        for name, module in target.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    missing, unexpected = target.load_state_dict(source.state_dict(), strict=False)
    assert not unexpected and set(missing) <= affine


@register_space("darts")
@dataclass(frozen=True)
class Darts(SearchSpace):
    """The DARTS space.

    Args:
        channels: C of the first cells (16 in the paper's search).
        cells: number of cells (8 in the paper's search).
        stem_multiplier: the stem has this times C channels (3 in the paper's code).
    """

    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    never: ClassVar[tuple[str, ...]] = ("none",)
    edges: ClassVar[Mapping[str, tuple[tuple[int, int], ...]]] = {"normal": EDGES, "reduce": EDGES}
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        "channels": (1, 128),
        "cells": (3, 32),
        "stem_multiplier": (1, 4),
    }

    channels: int = 16
    cells: int = 8
    stem_multiplier: int = 3

    @property
    def reductions(self) -> tuple[int, int]:
        """Indices of the two reduction cells."""
        return self.cells // 3, 2 * self.cells // 3

    @property
    def feature_dim(self) -> int:
        return NODES * self.channels * 4

    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        return _Network(self, in_channels, None)

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return _Network(self, in_channels, _check(genotype))

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
        fixed_macs = IN_CHANNELS * 9 * width * input_size**2
        c, c_before, c_last, side = self.channels, width, width, input_size
        for index in range(self.cells):
            reduce = index in self.reductions
            c *= 2 if reduce else 1
            kind = "reduce" if reduce else "normal"
            # Both inputs are brought to c channels at the side of the last cell's output.
            fixed_params += (c_before + c_last) * c + 2 * 2 * c
            fixed_macs += (c_before + c_last) * c * side**2
            out = -(-side // 2) if reduce else side
            for row, (source, _) in enumerate(EDGES):
                stride = 2 if reduce and source < 2 else 1
                for column, name in enumerate(OPERATIONS[1:], start=1):
                    weights, norms = _size(name, c, stride)
                    params[kind][row, column] += weights + norms
                    macs[kind][row, column] += weights * out**2
            side = out
            c_before, c_last = c_last, NODES * c
        return Costs(fixed_params, fixed_macs, params, macs)

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
