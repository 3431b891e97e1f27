"""What one rule would have chosen in the races that were run: `python -m benchmarks.race_rule`

The rows of `benchmarks/results/transfer.jsonl` of before decision 73 hold their races: what the first head of
each source had on validation, and who won by eight thresholds and two rungs. Of the heads that are within a
standard error of the best the rule takes the supernet that was trained on the most datasets, and of equally
broad ones the better. Printed is how often that is another source, and what both came to where the parts
`oracle` (60 s; for races of as long) and `matrix` (5 s) have both. The part `slow` says whether time must
count: what the winner has in a minute, where that is the one supernet that is slow to train, against a race
without it. Nothing is run. Validation decides, test reports.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.transfer_plan import NO_SLOW, SLOW
from snt_zoo.search.adapting.race import ERRORS, IMAGES, PASS_COST
from zoo.folds import fold_recipes
from zoo.recipe import read_recipes

COMMAND = "python -m benchmarks.race_rule"
Row = Mapping[str, Any]


def breadths() -> dict[str, int]:
    """Number of sources of each supernet of the zoo and of the folds, by its name."""
    return {recipe.name: len(recipe.sources) for recipe in (*read_recipes(), *fold_recipes())}


def first_heads(row: Row) -> dict[str, float]:
    """Validation accuracy of the first head of each source, by its name."""
    found = {}
    for entry in row["race"]:
        heads = [rung["val_accuracy"] for rung in entry.get("rungs", ()) if rung["rung"] in ("heat", "head")]
        if heads:
            found[name_of(entry["id"])] = heads[0]
    return found


def name_of(id: str) -> str:
    """Name of a supernet, without the digest."""
    return id.rpartition("-")[0] or id


def chosen(heads: Mapping[str, float], broad: Mapping[str, int], images: int, errors: float) -> str:
    """What the rule takes; as `snt_zoo.search.adapting.race.best`."""
    top = max(heads.values())
    least = top - errors * math.sqrt(top * (1 - top) / images)
    good = [name for name, accuracy in heads.items() if accuracy >= least]
    return max(good, key=lambda name: (broad.get(name, 1), heads[name]))


def compare(rows: Sequence[Row], errors: float = ERRORS) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The races in which the rule takes another source, and what that comes to."""
    broad = breadths()
    alone = {
        (row["part"], row["target"], row["source"]): row
        for row in rows
        if row["part"] in ("oracle", "matrix")
    }
    races = [row for row in rows if row["arm"] == "auto" and first_heads(row)]
    other: list[dict[str, Any]] = []
    for row in races:
        taken, won = chosen(first_heads(row), broad, row["val_images"], errors), name_of(row["from"])
        if taken == won:
            continue
        found: dict[str, Any] = {key: row[key] for key in ("part", "target", "per_class", "seed")}
        found |= {"won": won, "rule": taken}
        where = "oracle" if row["part"] == "main" else "matrix"
        mine, theirs = (alone.get((where, row["target"], name)) for name in (taken, won))
        for part in ("val", "test"):
            if mine is None or theirs is None:
                found[part] = None
            else:
                found[part] = round(100 * (mine[part] - theirs[part]), 2)
        other.append(found)
    measured = [row for row in other if row["val"] is not None]
    return other, {
        "standard_errors": errors,
        "races": len(races),
        "another_source": len(other),
        "of_these_both_measured": len(measured),
        "points_of_validation": round(statistics.fmean(r["val"] for r in measured), 2) if measured else None,
        "points_of_test": round(statistics.fmean(r["test"] for r in measured), 2) if measured else None,
        "a_search_from_scratch_won": sum(name_of(row["from"]) == "scratch" for row in races),
        "best_head_handed_back": sum(row["returned"] == "head" for row in races),
    }


def slow(rows: Sequence[Row]) -> dict[str, Any]:
    """Points that a race with the slow supernet has over one without, by target and in the mean."""
    runs = {(r["target"], r["seed"], r["arm"]): r for r in rows if r["part"] == "slow"}
    gains: dict[str, list[list[float]]] = {}
    passes: dict[str, float] = {}
    for (target, seed, arm), row in runs.items():
        other = runs.get((target, seed, NO_SLOW))
        if arm == "auto" and other is not None and name_of(row["from"]) == SLOW:
            pairs = [(row, other), (row["derived"], other["derived"])]
            points = [100 * (mine[part] - theirs[part]) for mine, theirs in pairs for part in ("val", "test")]
            gains.setdefault(target, []).append(points)
            passes.setdefault(target, round(passes_left(row), 1))
    means = {
        target: [statistics.fmean(each) for each in zip(*found, strict=True)]
        for target, found in gains.items()
    }
    if means:
        means["mean"] = [statistics.fmean(each) for each in zip(*means.values(), strict=True)]
    names = ("val", "test", "derived_val", "derived_test")
    return {
        target: dict(zip(names, (round(each, 1) for each in found), strict=True))
        | ({"passes": passes[target]} if target in passes else {})
        for target, found in means.items()
    } | {"runs": sum(map(len, gains.values()))}


def passes_left(row: Row) -> float:
    """How often a winner sees the training images in what is left after its race, by what its head took."""
    (seconds,) = (entry["seconds"] for entry in row["race"] if entry["won"])
    ended = max(record[1] for record in row["curve"] if record[0] == "race")
    one = PASS_COST * seconds * row["train_images"] / min(row["train_images"], IMAGES)
    return float((row["budget"] - ended) / one)


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Compare, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race_rule", description=__doc__)
    parser.add_argument("--rows", type=Path, default=RESULTS / "transfer.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "race_rule.json")
    arguments = parser.parse_args()
    rows = read_rows(arguments.rows)
    other, summary = compare(rows)
    summary["by_standard_errors"] = [compare(rows, errors)[1] for errors in (0.0, 0.5, 1.0, 1.5, 2.0)]
    summary["slow"] = slow(rows)
    made = document(COMMAND, other, summary)
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
