"""Networks within supernets: what they come to with inherited weights, and whether that can be told.

    python -m benchmarks.inner_networks --data DIR… --home HOME --cache DIR --rows FILE [--networks 1500]

A retrieval over networks, as in TANS, would rank the networks of a supernet by their own accuracy with a new
head, before any training. Measured, appended to FILE and skipped when there: of each supernet its own
network, a small and a large one of 32 drawn ones, and others at random, each with batch norms of the task, by
a ridge head on three datasets: 0.2 s of processor time for each. Then their profiles, and what a predictor
that knows no relative of the dataset says of each by profile and cost. Where a supernet saw a relative of a
dataset, it is left out. `benchmarks.inner_shortlist` asks for the best of all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.document import RESULTS, document, write
from benchmarks.inner_shortlist import FIRST, predicted, shortlists, truth_of
from benchmarks.learned_world import World
from benchmarks.outcomes import TABLE, references
from snt_zoo.encoders.outcomes import Outcome, read_outcomes, read_table
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import LARGE, OWN, SMALL, random_kinds
from snt_zoo.registry.registry import Registry
from snt_zoo.workflows.measure import Plan, measure

DATASETS = ("icon_food", "natural8", "font_khmer")


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


def measured(
    world: World, outcomes: Sequence[Outcome], said: Mapping[int, Tensor]
) -> dict[tuple[str, str], list[Inner]]:
    """The networks of each dataset and supernet, with what is predicted of them, by row."""
    row_of = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    number = {key: n for n, key in enumerate(world.networks.keys)}
    column = {world.networks.keys[n][0]: c for c, n in enumerate(world.own)}
    found: dict[tuple[str, str], list[Inner]] = defaultdict(list)
    for one in outcomes:
        row = row_of[one.target]
        if one.accuracy is None or world.related[row, column[one.bundle]]:
            continue
        space, parts = one.name.partition("-")[0], (one.val or 0.0, one.test or 0.0)
        expected = float(said[row][number[one.bundle, one.kind]])
        made = Inner(one.kind, one.accuracy, one.macs, expected, parts, space)
        found[one.target, one.bundle].append(made)
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
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches, profiles, distances")
    parser.add_argument("--rows", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--networks", type=int, default=1500, help="at least, in all supernets")
    parser.add_argument("--out", type=Path, default=RESULTS / "inner_networks.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.open(arguments.home)
    ids = [record.id for record in sorted(registry.list(), key=lambda each: each.name)]
    kinds = random_kinds(-(-arguments.networks // len(ids)) + 1)
    refs = references(arguments.data)
    asked = [ref for ref in refs if Path(ref).stem in DATASETS]
    began = time.process_time()
    cells = measure(registry, [Plan(asked, ids, kinds, per_network=len(asked))], arguments.rows)
    seconds = {"cells": cells, "processor seconds of a cell": _each(began, cells)}
    known = [one for one in read_table(TABLE) if not one.budget and one.kind == OWN]
    rows = [one for one in read_outcomes(arguments.rows) if one.kind in kinds]
    inner = [one for one in rows if one.method == "ridge" and one.view == WHOLE]
    began = time.process_time()
    world = World.of([*known, *(one for one in rows if one.kind != OWN)], refs, registry, arguments.cache)
    truth = truth_of(world, inner)
    said = {row: predicted(world, row) for row in truth.rows}
    summary = {
        "networks": len({(one.bundle, one.kind) for one in inner if one.kind != OWN}),
        "measured now": seconds,
        **summarise(measured(world, inner, said)),
        f"the best in the first {FIRST}": shortlists(world, truth, said),
    }
    print(f"profiles, predictions and all: {time.process_time() - began:.0f} s", file=sys.stderr)
    command = "python -m benchmarks.inner_networks --data DIR --home HOME --cache DIR --rows FILE"
    write(arguments.out, document(command, [], summary))
    print(json.dumps(summary, indent=1))


def _each(began: float, count: int) -> float | None:
    return round((time.process_time() - began) / count, 3) if count else None


if __name__ == "__main__":
    main()
