"""Which network is best for a dataset, and how good it will be: every way of saying so, on datasets left out.

    python -m benchmarks.learned --data DIR… --home HOME --cache DIR [--arms NAME…]

Reads `benchmarks/results/outcomes.parquet` (made by `benchmarks.outcomes`). For each parent the outcomes of
it and of its relatives are left out, and the networks that were trained on a relative are no candidates for
it. The encoders are trained once for each of five groups of parents, which are left out together. Intervals
are of a paired bootstrap over parents.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import weightedtau
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks.document import RESULTS, document, write
from benchmarks.learned_world import Truth, World
from benchmarks.outcomes import TABLE, references
from snt_zoo.encoders.distances.moments import Frechet, MeanFeature
from snt_zoo.encoders.intervals import grouped_quantile
from snt_zoo.encoders.outcomes import read_outcomes, read_table
from snt_zoo.registry.registry import Registry

SEEDS = (0, 1, 2)
BOOTSTRAPS = 2000
RANDOM = 100
"""Random rankings, whose figures are averaged."""

Array = np.ndarray[Any, Any]
Scores = list[Tensor]
"""One table for each seed, or for each random ranking."""


def chosen(truth: Truth, row: int, score: Tensor, k: int) -> float:
    """Test accuracy of the best by validation among the k first of a ranking; of equals the mean."""
    may = truth.may[row].nonzero().flatten()
    order = may[(-score[may]).argsort(stable=True)][:k]
    best = truth.val[row, order].max()
    return float(truth.test[row, order[truth.val[row, order] == best]].mean())


def figures(truth: Truth, row: int, score: Tensor) -> dict[str, float]:
    """What a ranking of one task's candidates comes to; regrets in points of test accuracy."""
    may = truth.may[row].nonzero().flatten()
    oracle = chosen(truth, row, torch.zeros_like(score), len(may))
    y, x = truth.test[row, may].numpy(), score[may].numpy()
    best = set(may[truth.test[row, may] == truth.test[row, may].max()].tolist())
    order = may[(-score[may]).argsort(stable=True)].tolist()
    return {
        "regret@1": 100 * (oracle - chosen(truth, row, score, 1)),
        "regret@3": 100 * (oracle - chosen(truth, row, score, 3)),
        "tau": float(np.nan_to_num(weightedtau(x, y).statistic)),
        "hit@1": float(order[0] in best),
        "hit@3": float(bool(best & set(order[:3]))),
    }


def by_parent(truth: Truth, parent: Sequence[str], scores: Scores) -> dict[str, Array]:
    """Of each figure the mean over seeds and over each parent's tasks, in the order of the parents' names."""
    names = sorted({parent[row] for row in truth.rows})
    found: dict[str, list[Any]] = {}
    for score in scores:
        rows = {row: figures(truth, row, score[row]) for row in truth.rows}
        for key in next(iter(rows.values())):
            means = [np.mean([rows[r][key] for r in truth.rows if parent[r] == name]) for name in names]
            found.setdefault(key, []).append(means)
    return {key: np.array(values).mean(0) for key, values in found.items()}


def interval(values: Array) -> list[float]:
    """95 % interval of a mean, by a bootstrap over parents."""
    drawn = np.random.default_rng(0).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return [round(float(low), 3), round(float(high), 3)]


def table(
    truth: Truth, parent: Sequence[str], scores: Mapping[str, Scores], against: Sequence[str]
) -> dict[str, Any]:
    """A row for each arm: means with intervals, and the paired difference to some of the others."""
    each = {name: by_parent(truth, parent, some) for name, some in scores.items()}
    rows = {}
    for name, found in each.items():
        row: dict[str, Any] = {key: round(float(values.mean()), 3) for key, values in found.items()}
        row["regret@1 interval"] = interval(found["regret@1"])
        row["regret@3 interval"] = interval(found["regret@3"])
        for other in against:
            if other != name and other in each:
                for key in ("regret@1", "tau"):
                    row[f"{key} less than {other}"] = interval(found[key] - each[other][key])
        rows[name] = row
    return rows


def prediction(world: World, mean: Tensor, *, level: float = 0.9) -> dict[str, Any]:
    """How far predicted accuracies are off, and how wide and how true intervals of them are.

    Args:
        world: whose heads are predicted.
        mean: logits, ``W x N`` or with the probe ``W x (N + 1)``, each of a parent left out.
        level: of the intervals.
    """
    truth = world.heads[:, : mean.shape[1]]
    there = ~truth.isnan() & ~mean.isnan()
    there[:, len(world.own) :] = False
    errors = (truth.sigmoid() - mean.sigmoid()).abs()[there]
    by_task = [
        (truth.sigmoid() - mean.sigmoid())[r][there[r]].abs().mean().item()
        for r in range(len(truth))
        if there[r].any()
    ]
    residual = (truth - mean).abs()
    names = sorted(set(world.parent))
    parts = [residual[r_of(world, name)][there[r_of(world, name)]] for name in names]
    covered, widths = [], []
    for number, name in enumerate(names):
        others = [part for i, part in enumerate(parts) if i != number and len(part)]
        if not len(parts[number]):
            continue
        q = grouped_quantile(others, level)
        covered.append(float((parts[number] <= q).double().mean()))
        own = mean[r_of(world, name)][there[r_of(world, name)]]
        widths.append(float(((own + q).sigmoid() - (own - q).sigmoid()).mean()))
    return {
        "mae_points": round(100 * float(errors.mean()), 2),
        "mae_points_by_task_median": round(100 * float(np.median(by_task)), 2),
        "coverage": round(float(np.mean(covered)), 3),
        "coverage_interval": interval(np.array(covered)),
        "median_width_points": round(100 * float(np.median(widths)), 1),
        "parents": len(covered),
    }


def r_of(world: World, parent: str) -> Tensor:
    """Rows of a parent."""
    return torch.tensor([r for r, each in enumerate(world.parent) if each == parent])


def closeness(world: World, mean: Tensor, score: Tensor) -> dict[str, Any]:
    """Whether it can be told beforehand that a network beats the probe, by heads.

    Args:
        world: whose heads are asked.
        mean: predicted logits, the probe last, ``W x (N + 1)``.
        score: by which the network is chosen, ``W x N``.
    """
    rows, gain, said, near = [], [], [], []
    nearest = arms.class_ot(world)
    for r in range(len(world.whole)):
        may = (~world.heads[r, :-1].isnan()).nonzero().flatten()
        if not len(may) or world.heads[r, -1].isnan():
            continue
        best = may[score[r, may].argsort(descending=True)[:3]]
        rows.append(r)
        gain.append(float(world.heads[r, best].max() - world.heads[r, -1]))
        said.append(float(mean[r, best].max() - mean[r, -1]))
        near.append(float(nearest[r, may].max()))
    won = np.array(gain) >= 0
    return {
        "tasks": len(rows),
        "supernet_wins": int(won.sum()),
        "auc_of_predicted_gain": auc(np.array(said), won),
        "auc_of_distance": auc(np.array(near), won),
    }


def auc(score: Array, won: Array) -> float:
    """Of one that won and one that did not the first has the higher score, with this probability."""
    pairs = [(a > b) + 0.5 * (a == b) for a in score[won] for b in score[~won]]
    return round(float(np.mean(pairs)), 3) if pairs else float("nan")


def main() -> None:
    """Compare, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--outcomes", type=Path, default=TABLE, help="the table, or a file of JSON lines")
    parser.add_argument("--arms", nargs="*", help="only these")
    parser.add_argument("--out", type=Path, default=RESULTS / "learned.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    read = read_table if arguments.outcomes.suffix == ".parquet" else read_outcomes
    outcomes = list(read(arguments.outcomes))
    world = World.of(outcomes, references(arguments.data), Registry.open(arguments.home), arguments.cache)
    print(f"{len(world.tasks.keys)} tasks, {len(world.networks.keys)} networks", file=sys.stderr, flush=True)
    scores, predicted = run_arms(world, arguments.arms)
    truths = {
        "head": world.truth("head"),
        "finetune 5 s": world.truth("finetune", 5.0),
        "finetune 60 s": world.truth("finetune", 60.0),
    }
    summary: dict[str, Any] = {"parents": len(set(world.parent)), "ranking": {}, "prediction": {}}
    for name, truth in truths.items():
        if truth.rows:
            summary["ranking"][name] = {
                "targets": len(truth.rows),
                "parents": len({world.parent[r] for r in truth.rows}),
                "arms": table(truth, world.parent, scores, ("static", "broadest", "gp")),
            }
    for name, mean in predicted.items():
        summary["prediction"][name] = prediction(world, mean)
        if mean.shape[1] > len(world.own):
            summary["prediction"][name] |= closeness(world, mean, scores[name][0])
    command = "python -m benchmarks.learned --data DIR --home HOME --cache DIR"
    write(arguments.out, document(command, [], summary))
    print(json.dumps(summary, indent=1))


def run_arms(world: World, only: Sequence[str] | None) -> tuple[dict[str, Scores], dict[str, Tensor]]:
    """The scores of every arm, and what those predict that predict accuracies."""
    scores: dict[str, Scores] = {}
    predicted: dict[str, Tensor] = {}

    def run(name: str, make: Callable[[], Any]) -> None:
        if only and name not in only:
            return
        began = time.process_time()
        made = make()
        scores[name] = made if isinstance(made, list) else [made]
        print(f"{name}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)

    def gp(name: str, **options: Any) -> Tensor:
        predicted[name] = arms.gaussian_process(world, **options).mean
        return predicted[name][:, :-1].nan_to_num(-99.0)

    def ours(name: str, **options: Any) -> Scores:
        made = [arms.learned(world, seed, **options) for seed in SEEDS]
        predicted[name] = torch.stack([mean for _, mean in made]).mean(0)
        return [score for score, _ in made]

    generator = torch.Generator().manual_seed(0)
    shape = len(world.whole), len(world.own)
    run("random", lambda: [torch.rand(shape, generator=generator) for _ in range(RANDOM)])
    run("largest", lambda: arms.largest(world))
    run("static", lambda: arms.static(world))
    run("broadest", lambda: arms.broadest(world))
    run("class-ot", lambda: arms.class_ot(world))
    run("mean-feature", lambda: arms.by_moments(MeanFeature)(world, 0))
    run("frechet", lambda: arms.by_moments(Frechet)(world, 0))
    run("ridge: static, class-ot", lambda: arms.ridge("static", "class-ot")(world, 0))
    run("gp", lambda: gp("gp"))
    run("gp, vectors", lambda: gp("gp, vectors", vectors=world.moments[world.whole]))
    for part in ("network", "kind", "fit", "own_fit", "source"):
        run(f"gp without {part}", lambda part=part: gp(f"gp without {part}", without=(part,)))  # type: ignore[misc]
    run("tans", lambda: [arms.tans(world, seed) for seed in SEEDS])
    run("ours", lambda: ours("ours"))
    for part in (
        "profile",
        "sources",
        "card",
        "topology",
        "id",
        "samples",
        "attention",
        "prior",
        "contrastive",
        "rank",
        "regression",
    ):
        run(f"ours without {part}", lambda part=part: ours(f"ours without {part}", without=frozenset([part])))  # type: ignore[misc]
    return scores, predicted


if __name__ == "__main__":
    main()
