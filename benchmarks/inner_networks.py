"""Networks within supernets: what they come to with inherited weights, and whether that can be told.

    python -m benchmarks.inner_networks --data DIR --home HOME --cache DIR --rows FILE [--every 5]

A retrieval over networks, as in TANS, would rank the networks of a supernet by their own accuracy with a new
head, before any training. Measured, appended to FILE and skipped when there: of every fifth supernet its own
network, a small and a large one of 32 drawn ones, and four at random, each with batch norms of the task, by a
ridge head on three datasets. Then their profiles, and what the predictor that ships says of each by profile
and cost. Where a supernet saw a relative of a dataset, it is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.document import RESULTS, document, write
from benchmarks.learned_world import World
from benchmarks.outcomes import TABLE
from snt_zoo.encoders.outcomes import Outcome, read_outcomes, read_table
from snt_zoo.encoders.predictor import shipped_predictor
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import LARGE, OWN, SMALL, random_kinds
from snt_zoo.registry.registry import Registry
from snt_zoo.workflows.measure import Plan, measure

DATASETS = ("icon_food", "natural8", "font_khmer")
KINDS = random_kinds(7)


class Inner(NamedTuple):
    """One network of a supernet on one dataset.

    Args:
        kind: of its genotype.
        accuracy: of a new head, from 0 to 1.
        macs: multiply-accumulates.
        said: predicted accuracy.
        parts: accuracy on validation and on test images.
        space: of its supernet.
    """

    kind: str
    accuracy: float
    macs: int
    said: float
    parts: tuple[float, float]
    space: str


def measured(world: World) -> dict[tuple[str, str], list[Inner]]:
    """The networks of each dataset and supernet, with what is predicted of them."""
    predictor = shipped_predictor()
    assert predictor is not None
    row_of = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    number = {key: n for n, key in enumerate(world.networks.keys)}
    column = {world.networks.keys[n][0]: c for c, n in enumerate(world.own)}
    near = world.nearest(world.to_sources)
    cells: dict[str, list[Outcome]] = defaultdict(list)
    for one in world.outcomes:
        if one.method == "ridge" and one.view == WHOLE and not one.change and one.target in DATASETS:
            cells[one.target].append(one)
    found: dict[tuple[str, str], list[Inner]] = defaultdict(list)
    for target, outcomes in cells.items():
        r = row_of[target]
        kept = [
            one
            for one in outcomes
            if one.bundle in column and not world.related[r, column[one.bundle]] and one.accuracy is not None
        ]
        facts = [world.networks.facts[number[one.bundle, one.kind]] for one in kept]
        # Nobody has measured them at home, and none of them is the network that the predictor knows.
        asked = [
            each if one.kind == OWN else replace(each, digest=f"{each.digest}/{one.kind}", accuracy=None)
            for one, each in zip(kept, facts, strict=True)
        ]
        distances = [float(near[r, column[one.bundle]]) for one in kept]
        said = predictor.predict(world.tasks.sketches[world.whole[r]], asked, distances)
        assert said is not None
        for one, expected in zip(kept, said, strict=False):
            assert one.accuracy is not None
            space, parts = one.name.partition("-")[0], (one.val or 0.0, one.test or 0.0)
            made = Inner(one.kind, one.accuracy, one.macs, expected.accuracy, parts, space)
            found[target, one.bundle].append(made)
    return {key: rows for key, rows in found.items() if len(rows) > 2}


def summarise(found: Mapping[tuple[str, str], Sequence[Inner]]) -> dict[str, Any]:
    """How far inner networks are behind the own one, and how well they are ordered."""
    behind: dict[str, list[float]] = defaultdict(list)
    orders: dict[str, list[float]] = defaultdict(list)
    half: dict[str, list[float]] = defaultdict(list)
    better = []
    for (_, bundle), rows in found.items():
        (own,) = [row for row in rows if row.kind == OWN]
        others = sorted((row for row in rows if row.kind != OWN), key=lambda row: row.kind)
        for row in others:
            kind = row.kind if row.kind in (SMALL, LARGE) else "random"
            behind[f"{kind}, {row.space}"].append(100 * (own.accuracy - row.accuracy))
        better.append(max(row.accuracy for row in others) > own.accuracy)
        truth = [row.accuracy for row in others]
        orders["predicted"].append(_rank([row.said for row in others], truth))
        orders["macs"].append(_rank([float(row.macs) for row in others], truth))
        orders["validation and test"].append(_rank(*zip(*(row.parts for row in others), strict=True)))
        # Whether a network that is good on one dataset is good on another.
        for (_, other), theirs in found.items():
            if other == bundle and theirs is not rows:
                kinds = {row.kind: row.accuracy for row in theirs}
                both = [(row.accuracy, kinds[row.kind]) for row in others if row.kind in kinds]
                orders["another dataset"].append(_rank(*zip(*both, strict=True)))
        fits = sorted(others, key=lambda row: row.macs)[: len(others) // 2]
        best = max(row.accuracy for row in fits)
        half["predicted"].append(100 * (best - max(fits, key=lambda row: row.said).accuracy))
        half["macs"].append(100 * (best - max(fits, key=lambda row: row.macs).accuracy))
        half["at random"].append(100 * (best - float(np.mean([row.accuracy for row in fits]))))
    return {
        "supernets and datasets": len(found),
        "points behind the own network": {k: round(float(np.mean(v)), 1) for k, v in behind.items()},
        "any better than the own": round(float(np.mean(better)), 3),
        "rank correlation within a supernet": {k: round(float(np.mean(v)), 3) for k, v in orders.items()},
        "regret among the smaller half": {k: round(float(np.mean(v)), 2) for k, v in half.items()},
    }


def _rank(left: Sequence[float], right: Sequence[float]) -> float:
    return float(np.nan_to_num(spearmanr(left, right).statistic))


def main() -> None:
    """Measure what is missing, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inner_networks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches, profiles, distances")
    parser.add_argument("--rows", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--every", type=int, default=5, help="of so many supernets one is measured")
    parser.add_argument("--out", type=Path, default=RESULTS / "inner_networks.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.open(arguments.home)
    ids = [record.id for record in sorted(registry.list(), key=lambda each: each.name)][:: arguments.every]
    refs = [str(arguments.data / f"{name}.npz") for name in DATASETS]
    began = time.process_time()
    cells = measure(registry, [Plan(refs, ids, KINDS, per_network=len(refs))], arguments.rows)
    seconds = {"cells": cells, "processor seconds of a cell": _each(began, cells)}
    known = [one for one in read_table(TABLE) if not one.budget and one.kind == OWN]
    inner = [one for one in read_outcomes(arguments.rows) if one.kind != OWN]
    began = time.process_time()
    world = World.of([*known, *inner], refs, registry, arguments.cache)
    found = measured(world)
    made = len({(one.bundle, one.kind) for one in inner})
    print(f"{made} networks, profiles and all: {time.process_time() - began:.0f} s", file=sys.stderr)
    summary = {"networks": made, "measured now": seconds, **summarise(found)}
    command = "python -m benchmarks.inner_networks --data DIR --home HOME --cache DIR --rows FILE"
    write(arguments.out, document(command, [], summary))
    print(json.dumps(summary, indent=1))


def _each(began: float, count: int) -> float | None:
    return round((time.process_time() - began) / count, 3) if count else None


if __name__ == "__main__":
    main()
