"""Nodes, edges and operations of a cell, and what is said of a cell by them alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Edge, Genotype

NODES = 4
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SKIP = 1  # `none` and `skip_connect` are the operations up to here: they compute nothing
MIN_COMPUTING = 3  # of the six edges; see `NasBench201.discretise`
# Grouped by source node, so that the outgoing edges of a node are neighbouring rows of the alphas.
EDGES = tuple((s, t) for s in range(NODES - 1) for t in range(s + 1, NODES))


def cell_of(choice: Sequence[int]) -> tuple[Edge, ...]:
    """The edges of a cell by the number of each one's operation."""
    return tuple(Edge(*edge, OPERATIONS[index]) for edge, index in zip(EDGES, choice, strict=True))


def live(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges that lie on a way from node 0 to the last node."""
    kept = [edge for edge in edges if edge.operation != "none"]
    while True:
        reached = {0} | {edge.target for edge in kept}
        needed = {NODES - 1} | {edge.source for edge in kept}
        left = [edge for edge in kept if edge.source in reached and edge.target in needed]
        if len(left) == len(kept):
            return tuple(left)
        kept = left


def check(genotype: Genotype) -> tuple[Edge, ...]:
    """The edges of a genotype, if it is one of this space; else a `ConfigError`."""
    edges = genotype.cells.get("cell", ())
    good = (
        genotype.space == "nas_bench_201"
        and set(genotype.cells) == {"cell"}
        and tuple((e.source, e.target) for e in edges) == EDGES
        and all(e.operation in OPERATIONS for e in edges)
        and len(live(edges)) > 0
    )
    if not good:
        raise ConfigError(
            "a nas_bench_201 genotype must have one cell with the six edges "
            f"{', '.join(f'{s}→{t}' for s, t in EDGES)}, each with one of {', '.join(OPERATIONS)}, and "
            f"a way from node 0 to node 3; got {genotype}"
        )
    return edges


@functools.cache
def all_cells() -> tuple[Tensor, Tensor]:
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
    alive = torch.stack([kept[s, t] & reached[s] & needed[t] for s, t in EDGES], 1)
    enough = (alive & (choices > SKIP)).sum(1) >= MIN_COMPUTING
    return choices[enough], alive[enough]
