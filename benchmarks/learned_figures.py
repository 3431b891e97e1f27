"""The figures of a ranking of networks, over parents: what `benchmarks.learned` and its like print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import weightedtau
from torch import Tensor

from benchmarks.learned_world import Truth

BOOTSTRAPS = 2000
AGAINST = ("static", "broadest", "class-ot", "gp", "ours")
"""Arms to which every other one is compared, in pairs over parents."""

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
    three = may[truth.test[row, may].argsort(descending=True)[:3]].tolist()
    order = may[(-score[may]).argsort(stable=True)].tolist()
    return {
        "regret@1": 100 * (oracle - chosen(truth, row, score, 1)),
        "regret@3": 100 * (oracle - chosen(truth, row, score, 3)),
        "tau": float(np.nan_to_num(weightedtau(x, y).statistic)),
        "hit@1": float(order[0] in best),
        "hit@3": float(bool(best & set(order[:3]))),
        "best three in the first 8": len(set(three) & set(order[:8])) / len(three),
    }


def by_parent(truth: Truth, parent: Sequence[str], scores: Scores) -> dict[str, Array]:
    """Of each figure the mean over each parent's tasks, ``seeds x parents``, parents in order of names."""
    names = sorted({parent[row] for row in truth.rows})
    found: dict[str, list[Any]] = {}
    for score in scores:
        rows = {row: figures(truth, row, score[row]) for row in truth.rows}
        for key in next(iter(rows.values())):
            means = [np.mean([rows[r][key] for r in truth.rows if parent[r] == name]) for name in names]
            found.setdefault(key, []).append(means)
    return {key: np.array(values) for key, values in found.items()}


def interval(values: Array) -> list[float]:
    """95 % interval of a mean, by a bootstrap over parents."""
    drawn = np.random.default_rng(0).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return [round(float(low), 3), round(float(high), 3)]


def table(truth: Truth, parent: Sequence[str], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """A row for each arm: means with intervals, and the paired difference to some of the others."""
    each = {name: by_parent(truth, parent, some) for name, some in scores.items()}
    rows = {}
    for name, found in each.items():
        row: dict[str, Any] = {key: round(float(values.mean()), 3) for key, values in found.items()}
        row["regret@1 interval"] = interval(found["regret@1"].mean(0))
        row["regret@3 interval"] = interval(found["regret@3"].mean(0))
        for other in AGAINST:
            if other != name and other in each:
                for key in ("regret@1", "regret@3", "tau"):
                    # An ablation has fewer seeds than the whole: it is compared with the same ones.
                    theirs = each[other][key][: len(found[key])].mean(0)
                    row[f"{key} less than {other}"] = interval(found[key].mean(0) - theirs)
        rows[name] = row
    return rows


def auc(score: Array, won: Array) -> float:
    """Of one that won and one that did not the first has the higher score, with this probability."""
    pairs = [(a > b) + 0.5 * (a == b) for a in score[won] for b in score[~won]]
    return round(float(np.mean(pairs)), 3) if pairs else float("nan")
