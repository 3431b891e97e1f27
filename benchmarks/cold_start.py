"""How well is a supernet ranked that nobody has tried, and does its profile help?

    python -m benchmarks.cold_start --data DIR… --home HOME --cache DIR

Parents are left out as in `benchmarks.learned`, and besides, in turn, each fifth of the supernets with all of
their outcomes. Those are then known by their profile and card (`profile`: somebody has the weights), by the
card alone (`card`: as a supernet of one's own), or by a card without an accuracy (`claims`: as one on the Hub
that nobody has pulled); `seen` has their outcomes. The kernel is that of the predictor that ships. Half a
minute.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.document import RESULTS, document, write
from benchmarks.learned_figures import Array, figures, interval
from benchmarks.learned_process import Heads
from benchmarks.learned_world import World
from benchmarks.outcomes import TABLE, references
from snt_zoo.encoders.gaussian_process import GaussianProcess, Geometry, Pairs
from snt_zoo.encoders.network_facts import Cards, between
from snt_zoo.encoders.outcomes import read_table
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.registry.registry import Registry

PARTS = 5
KNOWN = ("seen", "profile", "card", "claims")


def asked(world: World) -> dict[str, list[Tensor]]:
    """Of each way to be known, and each fifth of the supernets, logits of tasks and networks, ``W x N``."""
    predictor = shipped_predictor()
    assert predictor is not None
    seen = [world.networks.facts[n] for n in world.own]
    n, ways = len(seen), len(KNOWN)
    # Each supernet stands there once more for every way, as one that has another name.
    twins = [
        *seen,
        *(replace(each, digest=f"{each.digest} by profile") for each in seen),
        *(replace(each, digest=f"{each.digest} by card", profile=None) for each in seen),
        *(replace(each, digest=f"{each.digest} by claims", profile=None, accuracy=None) for each in seen),
    ]
    heads = Heads.of(world, world.moments[world.whole])
    apart = torch.full((len(twins) + 1,) * 2, 2.0).double()
    apart[:-1, :-1] = between(twins, Cards.measured_on(seen).scaled(twins))
    apart[-1, -1] = 0.0
    near = heads.space.to_source
    near = torch.cat([near[:, :n].repeat(1, ways), near[:, n:]], 1)
    space = Geometry(heads.space.facts, heads.space.between_tasks, apart, near)
    network = torch.where(heads.pairs.network == n, len(twins), heads.pairs.network)
    pairs = Pairs(heads.pairs.task, network)
    process = GaussianProcess(predictor.process.kernel, space, pairs, heads.y, heads.noise)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    found = {way: [torch.zeros(len(world.whole), n).double() for _ in range(PARTS)] for way in KNOWN}
    for parent in sorted(set(world.parent)):
        own = torch.tensor([each == parent for each in world.parent])
        for part in range(PARTS):
            new = order[part::PARTS]
            gone = own[pairs.task] | torch.isin(network, new)
            weights = [process.solved_without(rows.nonzero().flatten()) for rows in (own[pairs.task], gone)]
            for row in own.nonzero().flatten().tolist():
                grid = Pairs(torch.full((len(twins),), row), torch.arange(len(twins)))
                cross = process.kernel.matrix(space, grid, pairs)
                known, unknown = ((cross @ each).reshape(ways, n) for each in weights)
                found["seen"][part][row] = known[0]
                for number, way in enumerate(KNOWN[1:], 1):
                    found[way][part][row] = unknown[0].index_copy(0, new, unknown[number, new])
    return found


def by_parent(world: World, scores: list[Tensor]) -> dict[str, Array]:
    """Figures of heads in the mean over fifths and each parent's tasks."""
    truth = world.truth("head")
    names = sorted({world.parent[row] for row in truth.rows})
    rows = {row: [figures(truth, row, score[row]) for score in scores] for row in truth.rows}
    return {
        key: np.array(
            [
                np.mean([one[key] for row in truth.rows if world.parent[row] == name for one in rows[row]])
                for name in names
            ]
        )
        for key in ("regret@1", "regret@3", "tau")
    }


def main() -> None:
    """Measure, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--out", type=Path, default=RESULTS / "cold_start.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.open(arguments.home)
    world = World.of(read_table(TABLE), references(arguments.data), registry, arguments.cache)
    each = {way: by_parent(world, scores) for way, scores in asked(world).items()}
    summary: dict[str, Any] = {"new": f"one of {PARTS} supernets"}
    for way, found in each.items():
        summary[way] = {key: round(float(values.mean()), 3) for key, values in found.items()}
        for other in ("seen", "profile"):
            if way != other:
                for key, values in found.items():
                    summary[way][f"{key} less than {other}"] = interval(values - each[other][key])
    write(arguments.out, document("python -m benchmarks.cold_start --data DIR --home HOME", [], summary))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
