"""NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326): four nodes, six edges, five operations.

Macro skeleton (their section 2.1): a stem convolution; three stages of `cells_per_stage` equal cells
with C, 2C and 4C channels; a residual block of stride 2 between stages; batch norm, ReLU and a global
average. Every cell of a network has the same architecture.

With `partial_channels` K above 1 the connections are partial (PC-DARTS, Xu et al., ICLR 2020, arXiv
1907.05737, section 3.1): on every edge the first 1/K of the channels go through the operations, the others
bypass them, and the channels that a node has received are shuffled. What bypasses is weighed by the sum of
the weights of all operations but `none`, and a derived network keeps the partial connections: both are
ours, so that `none` is no edge, and a derived network equals the supernet on its path.

The supernet does the work that edges share once. All edges that leave one node apply the same ReLU, the
same average pooling and convolutions of the same shape to the same tensor, so a node's outgoing 3×3
convolutions are one convolution with as many times the output channels (and so are the 1×1). The result
equals the edge-by-edge computation; `tests/search/spaces` holds it to one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

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

NODES = 4
STAGES = 3
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SKIP = 1  # `none` and `skip_connect` are the operations up to here: they compute nothing
MIN_COMPUTING = 3  # of the six edges; see `NasBench201.discretise`
# Grouped by source node, so that the outgoing edges of a node are neighbouring rows of the alphas.
EDGES = tuple((s, t) for s in range(NODES - 1) for t in range(s + 1, NODES))


def _average_pool(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _FanOut(nn.Module):
    """Convolution and batch norm of all edges that leave one node, as one convolution."""

    def __init__(self, channels: int, branches: int, kernel: int) -> None:
        super().__init__()
        self.branches = branches
        self.conv = nn.Conv2d(channels, channels * branches, kernel, padding=kernel // 2, bias=False)
        # Not affine: a scale would make the alphas meaningless (Liu et al. 2019, section 3).
        self.norm = nn.BatchNorm2d(channels * branches, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out

    def rows(self, branch: int) -> slice:
        """The output channels of one edge."""
        width = self.conv.out_channels // self.branches
        return slice(branch * width, (branch + 1) * width)

    def one(self, x: Tensor, branch: int) -> Tensor:
        """One edge alone; the statistics are views, so training updates them in place."""
        rows, norm = self.rows(branch), self.norm
        out = functional.conv2d(x, self.conv.weight[rows], padding=self.conv.padding)
        assert norm.running_mean is not None and norm.running_var is not None
        assert norm.momentum is not None
        return functional.batch_norm(
            out,
            norm.running_mean[rows],
            norm.running_var[rows],
            training=norm.training,
            momentum=norm.momentum,
            eps=norm.eps,
        )

    def copy_to(self, plain: _ReLUConvNorm, branch: int) -> None:
        """Give one edge's weights and statistics to its derived operation."""
        rows, source, target = self.rows(branch), self.norm, plain.norm
        plain.conv.weight.copy_(self.conv.weight[rows])
        for name in ("running_mean", "running_var"):
            getattr(target, name).copy_(getattr(source, name)[rows])


class _Partial:
    """Partial connections: what goes through the operations, what bypasses them, and how both meet again."""

    def __init__(self, channels: int, partial: int) -> None:
        self.partial = partial
        self.width = channels // partial

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The channels for the operations, and the others; all and None if K is 1."""
        if self.partial == 1:
            return x, None
        return x[:, : self.width], x[:, self.width :]

    def join(self, node: list[Tensor]) -> Tensor:
        """A node's state from the sums of what it received, channels shuffled over the K groups."""
        if self.partial == 1:
            return node[0]
        x = torch.cat(node, dim=1)
        n, c, h, w = x.shape
        shuffled = x.view(n, self.partial, c // self.partial, h, w).transpose(1, 2).reshape(n, c, h, w)
        return shuffled.contiguous(memory_format=torch.channels_last)


def _receive(nodes: dict[int, list[Tensor]], target: int, *messages: Tensor | None) -> None:
    """Add an edge's messages to what its target has received."""
    parts = [message for message in messages if message is not None]
    known = nodes.get(target)
    nodes[target] = parts if known is None else [a + b for a, b in zip(known, parts, strict=True)]


class _MixedCell(nn.Module):
    """A cell in which every edge is the weighted sum of its five operations."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__()
        self.connection = _Partial(channels, partial)
        width = self.connection.width
        fan_outs = range(NODES - 1, 0, -1)  # node s has NODES - 1 - s outgoing edges
        self.conv_1x1 = nn.ModuleList(_FanOut(width, n, 1) for n in fan_outs)
        self.conv_3x3 = nn.ModuleList(_FanOut(width, n, 3) for n in fan_outs)

    def forward(self, x: Tensor, mixture: Tensor | None, choice: Sequence[int] | None = None) -> Tensor:
        """``batch x channels x h x w`` to the same, by ``6 x 5`` weights, a choice, or both."""
        if choice is not None:
            return self._path(x, mixture, choice)
        assert mixture is not None
        return self._mixed(x, mixture)

    def _path(self, x: Tensor, mixture: Tensor | None, choice: Sequence[int]) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        states: dict[int, tuple[Tensor, Tensor | None]] = {0: self.connection.split(x)}
        active: dict[int, Tensor] = {}
        for edge in _live(_cell(choice)):
            source, target, name = edge
            if source not in states:
                states[source] = self.connection.split(self.connection.join(received[source]))
            state, rest = states[source]
            branch = target - source - 1
            if name.startswith("nor_conv") and source not in active:
                active[source] = torch.relu(state)
            match name:
                case "nor_conv_1x1" | "nor_conv_3x3":
                    message = self.fan_out(edge).one(active[source], branch)
                case "avg_pool_3x3":
                    message = _average_pool(state)
                case _:
                    message = state
            if mixture is not None:
                weight = mixture[EDGES.index((source, target)), OPERATIONS.index(name)]
                message = message * weight
                rest = None if rest is None else rest * weight
            _receive(received, target, message, rest)
        return self.connection.join(received[NODES - 1]) if NODES - 1 in received else torch.zeros_like(x)

    def fan_out(self, edge: Edge) -> _FanOut:
        """The convolutions that leave an edge's source, of the edge's operation."""
        group = self.conv_1x1 if edge.operation == "nor_conv_1x1" else self.conv_3x3
        found = group[edge.source]
        assert isinstance(found, _FanOut)
        return found

    def _mixed(self, x: Tensor, mixture: Tensor) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        row = 0
        for source in range(NODES - 1):
            # Node s has received the edge from node s - 1 by now.
            state, rest = self.connection.split(self.connection.join(received[source]) if source else x)
            branches = NODES - 1 - source
            weights = mixture[row : row + branches]
            row += branches
            active = torch.relu(state)
            scale = weights.repeat_interleave(self.connection.width, dim=0)[:, :, None, None]
            convolved = (
                self.conv_1x1[source](active) * scale[:, 2] + self.conv_3x3[source](active) * scale[:, 3]
            )
            pooled = _average_pool(state)
            for branch, part in enumerate(convolved.split(self.connection.width, dim=1)):
                message = part + state * weights[branch, 1] + pooled * weights[branch, 4]
                bypassed = None if rest is None else rest * weights[branch, 1:].sum()
                _receive(received, source + 1 + branch, message, bypassed)
        return self.connection.join(received[NODES - 1])


class _ReLUConvNorm(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(torch.relu(x)))
        return out


class _DerivedCell(nn.Module):
    """A cell with one operation on each edge; edges that lead nowhere are not built."""

    def __init__(self, channels: int, edges: tuple[Edge, ...], partial: int) -> None:
        super().__init__()
        self.connection = _Partial(channels, partial)
        width = self.connection.width
        self.edges = _live(edges)
        self.operations = nn.ModuleList()
        for edge in self.edges:
            match edge.operation:
                case "nor_conv_1x1":
                    self.operations.append(_ReLUConvNorm(width, 1))
                case "nor_conv_3x3":
                    self.operations.append(_ReLUConvNorm(width, 3))
                case "avg_pool_3x3":
                    self.operations.append(nn.AvgPool2d(3, 1, 1, count_include_pad=False))
                case _:
                    self.operations.append(nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        received: dict[int, list[Tensor]] = {}
        states = {0: self.connection.split(x)}
        for edge, operation in zip(self.edges, self.operations, strict=True):
            if edge.source not in states:
                states[edge.source] = self.connection.split(self.connection.join(received[edge.source]))
            state, rest = states[edge.source]
            _receive(received, edge.target, operation(state), rest)
        return self.connection.join(received[NODES - 1])


class _Reduction(nn.Module):
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


class _Skeleton(SupernetTrunk):
    """Stem, stages, reductions and the last norm; `_MixedCell` or `_DerivedCell` inside."""

    def __init__(self, space: NasBench201, in_channels: int, edges: tuple[Edge, ...] | None) -> None:
        super().__init__()
        c = space.channels
        self.mixed = edges is None
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, c, 3, stride=space.stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(c),
        )
        self.cells_per_stage = space.cells_per_stage
        self.cells = nn.ModuleList()
        self.reductions = nn.ModuleList()
        for stage in range(STAGES):
            width = c * 2**stage
            for _ in range(space.cells_per_stage):
                self.cells.append(
                    _MixedCell(width, space.partial_channels)
                    if edges is None
                    else _DerivedCell(width, edges, space.partial_channels)
                )
            if stage < STAGES - 1:
                self.reductions.append(_Reduction(width))
        self.norm = nn.BatchNorm2d(space.feature_dim)

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
        assert isinstance(derived, _Skeleton)
        for name in ("stem", "reductions", "norm"):
            getattr(derived, name).load_state_dict(getattr(self, name).state_dict())
        for mixed, plain in zip(self.cells, derived.cells, strict=True):
            assert isinstance(mixed, _MixedCell) and isinstance(plain, _DerivedCell)
            for edge, operation in zip(plain.edges, plain.operations, strict=True):
                if isinstance(operation, _ReLUConvNorm):
                    mixed.fan_out(edge).copy_to(operation, edge.target - edge.source - 1)

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        owned: dict[Owner, list[Rows]] = {}
        for cell in self.cells:
            assert isinstance(cell, _MixedCell)
            for row, (source, target) in enumerate(EDGES):
                for name in ("nor_conv_1x1", "nor_conv_3x3"):
                    fan_out = cell.fan_out(Edge(source, target, name))
                    weight = fan_out.conv.weight
                    assert isinstance(weight, nn.Parameter)
                    rows = fan_out.rows(target - source - 1)
                    owned.setdefault(("cell", row, OPERATIONS.index(name)), []).append((weight, rows))
        return owned


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
        return _Skeleton(self, in_channels, None)

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return _Skeleton(self, in_channels, _check(genotype))

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
            cell = _cell(best.tolist())
            active = [e for e in _live(cell) if OPERATIONS.index(e.operation) > SKIP]
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

    def best_genotype(self, scores: Mapping[str, Tensor], bound: Bound) -> Genotype | None:
        """As in the base class, by going through all cells: edges that lead nowhere cost nothing."""
        choices, live = _all_cells()
        rows = torch.arange(len(EDGES))
        total = scores["cell"].detach().double().cpu()[rows, choices].sum(1)
        for table, most in bound.limits():
            spent = (table["cell"][rows, choices] * live).sum(1)
            total = total.masked_fill(spent > most, -torch.inf)
        best = int(total.argmax())
        return None if total[best] == -torch.inf else self.genotype({"cell": choices[best].tolist()})

    def pruned(self, choice: Choice) -> Choice:
        kept = {(e.source, e.target): e.operation for e in _live(_cell(choice["cell"]))}
        return {"cell": [OPERATIONS.index(kept.get(edge, "none")) for edge in EDGES]}


@functools.cache
def _all_cells() -> tuple[Tensor, Tensor]:
    """Every cell that computes enough, ``n x 6`` operations, and which of its edges are live, ``n x 6``."""
    operations = torch.arange(len(OPERATIONS))
    choices = torch.cartesian_prod(*[operations] * len(EDGES))
    kept = {edge: choices[:, row] > 0 for row, edge in enumerate(EDGES)}
    always = torch.ones(len(choices), dtype=torch.bool)
    reached, needed = {0: always}, {NODES - 1: always}
    for node in range(1, NODES):
        into = [reached[s] & kept[s, t] for s, t in EDGES if t == node]
        reached[node] = torch.stack(into).any(0)
    for node in range(NODES - 2, -1, -1):
        out = [needed[t] & kept[s, t] for s, t in EDGES if s == node]
        needed[node] = torch.stack(out).any(0)
    live = torch.stack([kept[s, t] & reached[s] & needed[t] for s, t in EDGES], 1)
    enough = (live & (choices > SKIP)).sum(1) >= MIN_COMPUTING
    return choices[enough], live[enough]


def _cell(choice: Sequence[int]) -> tuple[Edge, ...]:
    return tuple(Edge(*edge, OPERATIONS[index]) for edge, index in zip(EDGES, choice, strict=True))


def _live(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges that lie on a way from node 0 to the last node."""
    kept = [edge for edge in edges if edge.operation != "none"]
    while True:
        reached = {0} | {edge.target for edge in kept}
        needed = {NODES - 1} | {edge.source for edge in kept}
        live = [edge for edge in kept if edge.source in reached and edge.target in needed]
        if len(live) == len(kept):
            return tuple(live)
        kept = live


def _check(genotype: Genotype) -> tuple[Edge, ...]:
    edges = genotype.cells.get("cell", ())
    good = (
        genotype.space == "nas_bench_201"
        and set(genotype.cells) == {"cell"}
        and tuple((e.source, e.target) for e in edges) == EDGES
        and all(e.operation in OPERATIONS for e in edges)
        and len(_live(edges)) > 0
    )
    if not good:
        raise ConfigError(
            "a nas_bench_201 genotype must have one cell with the six edges "
            f"{', '.join(f'{s}→{t}' for s, t in EDGES)}, each with one of {', '.join(OPERATIONS)}, and "
            f"a way from node 0 to node 3; got {genotype}"
        )
    return edges
