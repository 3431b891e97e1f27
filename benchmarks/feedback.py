"""How soon the ranking learns from outcomes, its own and a user's.

    python -m benchmarks.feedback --data DIR… --home HOME --cache DIR [--picture FILE]

Reads `benchmarks/results/outcomes.parquet`; takes a minute. Parents are drawn in three orders.

Trained again: heads on the first 10, 20 and 30 datasets are known, and the others are asked, the same ones
each time. At once: the predictor that ships is asked about the datasets that it must not learn from, as a
user would who finetunes on one after the other; each race leaves the heads of its entrants in the registry's
outcomes (`snt_zoo.registry.predicting.levels`), and the last ones are asked.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks.document import RESULTS, document, write
from benchmarks.learned_figures import Array, figures, interval
from benchmarks.learned_process import Heads
from benchmarks.learned_world import Truth, World
from benchmarks.outcomes import TABLE, references
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import Outcome, read_table
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.encoders.prior import shrunken_means
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import OWN
from snt_zoo.registry.predicting import levels
from snt_zoo.registry.registry import Registry
from snt_zoo.workflows.finetune import RACERS
from zoo.parents import may_ship

SEEDS = (0, 1, 2)
KNOWN = (10, 20, 30)
"""Datasets whose outcomes are known when the ranking is trained again."""
RUNS = (0, 4, 8, 12)
"""Finetunings of a user, each of another dataset."""

Ask = Callable[[Sequence[int], Sequence[int]], Tensor]
"""Of known rows, and of those that are asked, a score of each whole task and own network."""
Curve = dict[str, Any]


def in_order(world: World, rows: Sequence[int], seed: int) -> list[int]:
    """Rows with their parents in a random order; those of one parent follow each other."""
    names = sorted({world.parent[row] for row in rows})
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    place = {names[number]: rank for rank, number in enumerate(order)}
    return sorted(rows, key=lambda row: (place[world.parent[row]], row))


def split_at(world: World, ordered: Sequence[int], count: int) -> tuple[list[int], list[int]]:
    """The first so many, and those of other parents."""
    known = list(ordered[:count])
    kin = {world.parent[row] for row in known}
    return known, [row for row in ordered if world.parent[row] not in kin]


def curve(world: World, truth: Truth, ask: Ask, rows: Sequence[int], counts: Sequence[int]) -> list[Curve]:
    """Regret and rank correlation on what is asked, over parents, for each number of known datasets."""
    found: dict[int, dict[str, list[dict[str, float]]]] = {count: defaultdict(list) for count in counts}
    for seed in SEEDS:
        ordered = in_order(world, rows, seed)
        _, asked = split_at(world, ordered, max(counts))
        for count in counts:
            score = ask(ordered[:count], asked)
            for row in asked:
                found[count][world.parent[row]].append(figures(truth, row, score[row]))
    first = _means(found[counts[0]])
    points: list[Curve] = []
    for count in counts:
        means = _means(found[count])
        made: Curve = {"known": count, "parents": len(found[count])}
        made |= {key: round(float(values.mean()), 3) for key, values in means.items()}
        made["regret@1 interval"] = interval(means["regret@1"])
        for key, values in means.items():
            made[f"{key} less than at first"] = interval(values - first[key])
        points.append(made)
    return points


def _means(by_parent: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Array]:
    return {
        key: np.array([np.mean([one[key] for one in by_parent[name]]) for name in sorted(by_parent)])
        for key in ("regret@1", "regret@3", "tau")
    }


def trained_again(world: World) -> dict[str, list[Curve]]:
    """The predictor, the static ranking and the distance, which learns nothing, with more and more known."""
    truth, heads = world.truth("head"), Heads.of(world, world.moments[world.whole])
    near = arms.class_ot(world)

    def predictor(known: Sequence[int], asked: Sequence[int]) -> Tensor:
        tasks = torch.tensor(known)
        process = heads.process(heads.kernel(tasks), tasks)
        grid = heads.grid(torch.tensor(asked))
        found = torch.full_like(world.heads, torch.nan)
        cross = process.kernel.matrix(heads.space, grid, process.pairs)
        found[grid.task, grid.network] = cross @ process.solved()
        return found[:, :-1]

    def static(known: Sequence[int], asked: Sequence[int]) -> Tensor:
        rows = torch.zeros(len(world.whole), dtype=torch.bool)
        rows[list(known)] = True
        table = world.heads[:, :-1]
        means = shrunken_means(*arms.observed(world, rows, table), networks=table.shape[1])
        return means.expand(len(table), -1)

    asks: dict[str, Ask] = {"predictor": predictor, "static": static, "class-ot": lambda known, asked: near}
    return {name: curve(world, truth, ask, truth.rows, KNOWN) for name, ask in asks.items()}


def at_once(world: World) -> dict[str, list[Curve]]:
    """The predictor that ships, with what a user's finetunings left in the registry.

    Asked about the starter zoo's supernets, and about the same if it had never seen them: then it knows
    their cards and sources alone, as of a supernet that the user pretrained.
    """
    seen = [world.networks.facts[n] for n in world.own]
    new = [replace(one, digest=f"new {number}", profile=None) for number, one in enumerate(seen)]
    return {"of the starter zoo": _at_once(world, seen), "never seen": _at_once(world, new)}


def _at_once(world: World, networks: Sequence[NetworkFacts]) -> list[Curve]:
    predictor = shipped_predictor()
    assert predictor is not None
    truth = world.truth("head")
    rows = [row for row in truth.rows if not may_ship(world.tasks.keys[world.whole[row]][0])]
    near = world.nearest(world.to_sources)
    said = torch.full_like(truth.val, torch.nan)
    for row in rows:
        found = predictor.predict(world.tasks.sketches[world.whole[row]], networks, near[row].tolist())
        assert found is not None
        said[row] = torch.tensor([one.accuracy for one in found[:-1]])
    heads = _heads(world)

    def ask(known: Sequence[int], asked: Sequence[int]) -> Tensor:
        left = [
            replace(heads[key], expected=float(said[row, column]), digest=networks[column].digest)
            for row in known
            for column in _entrants(near[row], said[row])
            if (key := (world.tasks.keys[world.whole[row]][0], world.networks.names[world.own[column]]))
            in heads
        ]
        moved = levels(left)
        return said.logit() + torch.tensor([moved.get(network.digest, 0.0) for network in networks])

    return curve(world, truth, ask, rows, RUNS)


def _heads(world: World) -> dict[tuple[str, str], Outcome]:
    """Of heads on whole datasets, by the names of dataset and supernet."""
    return {
        (one.target, one.name): one
        for one in world.outcomes
        if (one.method, one.view, one.change, one.kind) == ("head", WHOLE, "", OWN)
    }


def _entrants(near: Tensor, said: Tensor) -> list[int]:
    """Who races on a dataset, but for the broadest: of which the most is predicted, the nearest; columns."""
    may = near.isfinite()
    best, nearest = (
        each.masked_fill(~may, torch.inf).argsort().tolist()[: int(may.sum())] for each in (-said, near)
    )
    return [*dict.fromkeys([*best[:RACERS], *nearest[:RACERS]])]


def draw(summary: Mapping[str, Any], path: Path) -> None:
    """Both curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for name, rows in summary["trained again"].items():
        left.plot([row["known"] for row in rows], [row["regret@1"] for row in rows], "o-", label=name)
    for name, rows in summary["at once"].items():
        right.plot([row["known"] for row in rows], [row["regret@1"] for row in rows], "o-", label=name)
    left.set_xlabel("datasets with outcomes")
    right.set_xlabel("finetunings of a user")
    left.set_ylabel("regret, points of accuracy")
    left.set_title("trained again", fontsize=10)
    right.set_title("at once, the predictor that ships", fontsize=10)
    left.set_ylim(bottom=0)
    left.legend(fontsize=8, loc=(0.62, 0.58))
    right.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--picture", type=Path, help="where the curves are drawn, as SVG or PNG")
    parser.add_argument("--out", type=Path, default=RESULTS / "feedback.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.open(arguments.home)
    world = World.of(read_table(TABLE), references(arguments.data), registry, arguments.cache)
    summary = {"trained again": trained_again(world), "at once": at_once(world)}
    if arguments.picture is not None:
        draw(summary, arguments.picture)
    write(arguments.out, document("python -m benchmarks.feedback --data DIR --home HOME", [], summary))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
