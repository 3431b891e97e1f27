"""Who should race? By distance with generalists, as it was, or by what is predicted, on measured outcomes.

    python -m benchmarks.race_entrants --data DIR… --home HOME --cache DIR

Nothing is trained. A race has a head of each entrant, and its rule (`snt_zoo.search.adapting.race.best`)
takes one by validation. What that comes to is read: its head on the test images of all datasets
(`benchmarks/results/outcomes.parquet`), and its finetuning of five seconds where there is one (on targets of
the transfer benchmark the head is that with which it began; on others one that was asked about 64 images of
validation at most). Each parent is left out of what predicts.
Regret is to the best of all by validation, in points of test accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.learned import run_arms
from benchmarks.learned_figures import chosen, interval
from benchmarks.learned_world import Truth, World
from benchmarks.outcomes import TABLE, references
from benchmarks.transfer_plan import GENERALIST
from benchmarks.transfer_report import head_accuracy
from snt_zoo.encoders.outcomes import read_table
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import OWN
from snt_zoo.registry.registry import Registry
from snt_zoo.search.adapting.race import ERRORS
from snt_zoo.workflows.finetune import RACERS
from zoo.folds import original

BEFORE = 4
"""Nearest supernets, and nearest generalists besides, that raced until now."""
MOST = 8
"""Entrants that are asked about, at most."""

Names = Callable[[int], Sequence[int]]
"""The entrants of a race on a whole task, as columns, the first to race first."""


class Entrants:
    """Who races by which rule.

    Args:
        world: whose supernets race.
        truth: who may.
        predicted: of whole tasks and own networks, higher is better.
        broad: which own networks are tagged generalists, by column.
    """

    def __init__(self, world: World, truth: Truth, predicted: Tensor, broad: Sequence[int]) -> None:
        self.truth, self.predicted, self.broad = truth, predicted, set(broad)
        self.near = arms.class_ot(world)
        self.breadth = [len(world.networks.sources[n]) for n in world.own]

    def first(self, score: Tensor, row: int, count: int, among: set[int] | None = None) -> list[int]:
        """The first so many of those that may."""
        may = [c for c in self.truth.may[row].nonzero().flatten().tolist() if among is None or c in among]
        return sorted(may, key=lambda column: -float(score[row, column]))[:count]

    def before(self, row: int) -> list[int]:
        """The nearest, and the nearest generalists."""
        near = self.first(self.near, row, BEFORE)
        return [*dict.fromkeys([*near, *self.first(self.near, row, BEFORE, self.broad)])]

    @cached_property
    def rules(self) -> dict[str, Names]:
        """By name."""
        found: dict[str, Names] = {"before": self.before}
        for count in range(1, MOST + 1):
            found[f"{count} predicted"] = partial(self.first, self.predicted, count=count)
            found[f"{count} nearest"] = partial(self.first, self.near, count=count)
        for count in (1, 2, 3, 4):

            def both(row: int, count: int = count) -> list[int]:
                near = self.first(self.near, row, count)
                return [*dict.fromkeys([*self.first(self.predicted, row, count), *near])]

            def of_before(row: int, count: int = count) -> list[int]:
                return sorted(self.before(row), key=lambda c: -float(self.predicted[row, c]))[:count]

            found[f"{count} predicted, {count} nearest"] = both
            found[f"of those before the {count} predicted"] = of_before
        found[f"{RACERS} predicted, {RACERS} nearest, the broadest (now)"] = self.now
        return found

    def now(self, row: int) -> list[int]:
        """Of which the most is predicted, the nearest, and the broadest."""
        may = self.first(self.near, row, len(self.breadth))
        broadest = max(may, key=lambda column: self.breadth[column])
        best = self.first(self.predicted, row, RACERS)
        return [*dict.fromkeys([*best, *may[:RACERS], broadest])]


def winner(heads: Tensor, entrants: Sequence[int], breadth: Sequence[int], images: int) -> int:
    """As `snt_zoo.search.adapting.race.best`, of heads' validation accuracies by column."""
    top = max(float(heads[c]) for c in entrants)
    least = top - ERRORS * math.sqrt(top * (1 - top) / images)
    good = [c for c in entrants if float(heads[c]) >= least]
    return max(good, key=lambda c: (breadth[c], float(heads[c])))


def compare(
    world: World, truth: Truth, entrants: Entrants, heads: Tensor, images: Mapping[int, int]
) -> dict[str, Any]:
    """Regret, heads and their cost by each rule, in the mean over parents; differences are paired.

    Args:
        world: of the outcomes.
        truth: what each comes to.
        entrants: the rules.
        heads: validation accuracies of heads, ``W x N``, NaN where there is none.
        images: on which those were measured, of each row.
    """
    macs = [world.networks.facts[n].macs for n in world.own]
    rows = [r for r in truth.rows if int((truth.may[r] & ~heads[r].isnan()).sum()) >= MOST]
    names = sorted({world.parent[r] for r in rows})
    every: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, rule in entrants.rules.items():
        found = every[name] = {key: defaultdict(list) for key in ("regret", "heads", "gmacs")}
        for r in rows:
            may = truth.may[r].nonzero().flatten()
            best = chosen(truth, r, torch.zeros(truth.test.shape[1]), len(may))
            racing = [c for c in rule(r) if not heads[r, c].isnan()]
            won = winner(heads[r], racing, entrants.breadth, images[r])
            parent = world.parent[r]
            found["regret"][parent].append(100 * (best - float(truth.test[r, won])))
            found["heads"][parent].append(len(racing))
            found["gmacs"][parent].append(sum(macs[c] for c in racing) / 1e9)
    means = {
        name: {key: np.array([np.mean(each[n]) for n in names]) for key, each in found.items()}
        for name, found in every.items()
    }
    answer: dict[str, Any] = {"datasets": len(rows), "parents": len(names)}
    for name, each in means.items():
        answer[name] = {key: round(float(values.mean()), 3) for key, values in each.items()}
        answer[name]["regret less than before"] = interval(each["regret"] - means["before"]["regret"])
    return answer


def validation_heads(world: World) -> tuple[Tensor, dict[int, int]]:
    """Of heads on whole datasets the accuracy on validation images, and how many those were."""
    row = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    found = torch.full((len(world.whole), len(world.own)), torch.nan).double()
    images = dict.fromkeys(range(len(world.whole)), 1)
    for one in world.outcomes:
        wanted = (one.method, one.view, one.change, one.kind) == ("head", WHOLE, "", OWN)
        column, r = world.column.get(original(one.name)), row.get(one.target)
        if not wanted or column is None or r is None or one.val is None:
            continue
        if original(one.name) != one.name or not world.related[r, column]:  # else a stand-in answers
            found[r, column], images[r] = one.val, one.val_images
    return found, images


def first_heads(world: World, path: Path = RESULTS / "transfer.jsonl") -> tuple[Tensor, dict[int, int]]:
    """Likewise for finetunings of five seconds: on the transfer benchmark's targets their own heads."""
    row_of = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    found, images = validation_heads(world)
    began = [row for row in read_rows(path) if row["part"] == "matrix" and row["arm"] == "source"]
    found[[row_of[row["target"]] for row in began if row["target"] in row_of]] = torch.nan
    for row in began:
        if row["target"] in row_of:
            r, column = row_of[row["target"]], world.column[original(row["source"])]
            found[r, column], images[r] = head_accuracy(row), row["val_images"]
    return found, images


def by_tag(registry: Registry, world: World) -> Iterator[int]:
    """Columns of the generalists."""
    for record in registry.list():
        if GENERALIST in record.tags and record.name in world.column:
            yield world.column[record.name]


def main() -> None:
    """Compare, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race_entrants", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--out", type=Path, default=RESULTS / "race_entrants.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.open(arguments.home)
    world = World.of(read_table(TABLE), references(arguments.data), registry, arguments.cache)
    predicted = run_arms(world, lambda score: torch.empty(0), ["gp"])["gp"].scores[0]
    broad = list(by_tag(registry, world))
    summary = {}
    for name, truth, (heads, images) in (
        ("head", world.truth("head"), validation_heads(world)),
        ("finetune 5 s", world.truth("finetune", 5.0), first_heads(world)),
    ):
        summary[name] = compare(world, truth, Entrants(world, truth, predicted, broad), heads, images)
    write(arguments.out, document("python -m benchmarks.race_entrants --data DIR --home HOME", [], summary))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
