"""Does a run with --pareto lose anything to networks that are finetuned alone?

    python -m benchmarks.pareto --json --data DIR [--budget 60]

For each task one run from the best source, with several networks of its supernet; then each network of the
front alone: the same genotype from the same supernet, for the share of the whole budget that a network of
its size has of it (`snt_zoo.search.adapting.front_choice.shares_of`). What the run takes to compare networks
and to find a source counts against it and not against them.

`gap`: of a point the test accuracy of the best network alone that is no larger, less its own, in points;
positive where the point is dominated. No supernet answers for a task of which it saw a relative. Seconds are
processor time of one thread. Rows go into a file of JSON lines and are skipped when they are there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.json_lines import read_rows
from benchmarks.leave_out import excluded, open_zoo
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.finetune import finetune
from snt_zoo.search.adapting.front_choice import shares_of
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import RunOptions
from snt_zoo.zoo import Zoo

COMMAND = "python -m benchmarks.pareto --json --data DIR"
TASKS = ("font_khmer", "icon_shapes", "chars74k_natural", "openclipart_category")
"""Of the targets of `benchmarks.transfer` one of each kind that a generalist saw no relative of, or one that
another one did not see."""
Row = dict[str, Any]


def front(zoo: Zoo, task: str, data: ImageDataset, budget: float, seed: int) -> Row:
    """The row of a run with --pareto."""
    began = time.process_time()
    result = zoo.finetune(
        "auto",
        data,
        budget=budget,
        seed=seed,
        device="cpu",
        floor=False,
        pareto=True,
        exclude=excluded(zoo, task),
        timer=time.process_time,
    )
    assert result.front is not None
    points, dominated = (
        [
            {**each.facts(), "genotype": each.model.genotype.to_json()}  # type: ignore[union-attr]
            for each in networks
        ]
        for networks in (result.front.points, result.front.dominated)
    )
    return {
        "source": result.source,
        "seconds": time.process_time() - began,
        "compared": len(result.front.compared),
        "points": points,
        "dominated": dominated,
    }


def alone(zoo: Zoo, row: Row, data: ImageDataset, place: int) -> Row:
    """What a network of a front's row comes to by itself."""
    trained = sorted([*row["points"], *row["dominated"]], key=lambda each: int(each["macs"]))
    point = row["points"][place]
    share = shares_of([each["macs"] for each in trained])[trained.index(point)]
    supernet = zoo.load(row["source"])
    supernet.commit(Genotype.from_json(point["genotype"]))
    candidate = Candidate.of(row["source"], supernet, {"search_share": 0.0})
    options = RunOptions(
        Budget(seconds=share * row["budget"]), seed=row["seed"], device="cpu", timer=time.process_time
    )
    result = finetune(data, [candidate], options)
    return {
        "macs": result.macs,
        "seconds": share * row["budget"],
        "accuracy": dict(result.accuracy),
        "same": result.genotype.to_json() == point["genotype"],
    }


def summary(rows: list[Row]) -> dict[str, Any]:
    """For each task its points, and by how much each is dominated; the largest gap of all."""
    found: dict[str, Any] = {}
    for row in (row for row in rows if row["arm"] == "pareto"):
        others = [other for other in rows if other["arm"] == "alone" and _key(other)[1:4] == _key(row)[1:4]]
        gaps = [
            100 * (max(rivals) - point["accuracy"]["test"])
            for point in row["points"]
            if (rivals := [o["accuracy"]["test"] for o in others if o["macs"] <= point["macs"]])
        ]
        own = {other["place"]: other for other in others}
        found[f"{row['task']}, seed {row['seed']}"] = {
            "points": len(row["points"]),
            "trained": len(row["points"]) + len(row["dominated"]),
            "macs": [point["macs"] for point in row["points"]],
            "test": [round(100 * point["accuracy"]["test"], 1) for point in row["points"]],
            "alone": [
                round(100 * own[place]["accuracy"]["test"], 1) for place in range(len(gaps)) if place in own
            ],
            "largest_gap": round(max(gaps), 1) if gaps else None,
        }
    gaps = [each["largest_gap"] for each in found.values() if each["largest_gap"] is not None]
    gains = [
        point - other
        for each in found.values()
        for point, other in zip(each["test"], each["alone"], strict=False)
    ]
    return {
        "tasks": found,
        "largest_gap": max(gaps, default=None),
        "fewest_points": min((each["points"] for each in found.values()), default=None),
        "mean_gain_over_alone": round(sum(gains) / len(gains), 1) if gains else None,
    }


def _key(row: Row) -> tuple[Any, ...]:
    return row["arm"], row["task"], row["seed"], row["budget"], row.get("place")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pareto", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz sets")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each run")
    parser.add_argument("--task", action="append", help="a set of the folder; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, default=RESULTS / "pareto.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "pareto.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for row in read_rows(args.rows) if row["budget"] == args.budget]
    there = {_key(row): row for row in rows}
    with tempfile.TemporaryDirectory() as home, args.rows.open("a", encoding="utf-8") as file:
        zoo = open_zoo(Path(home), None)

        def keep(row: Row) -> Row:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            rows.append(row)
            return row

        for task in args.task or TASKS:
            data = open_dataset(args.data / f"{task}.npz")
            base = {"task": task, "seed": args.seed, "budget": args.budget}
            row = there.get(("pareto", task, args.seed, args.budget, None))
            if row is None:
                row = keep({"arm": "pareto", **base, **front(zoo, task, data, args.budget, args.seed)})
            for place in range(len(row["points"])):
                if ("alone", task, args.seed, args.budget, place) not in there:
                    keep({"arm": "alone", "place": place, **base, **alone(zoo, row, data, place)})
            tell({"task": task} | summary(rows)["tasks"][f"{task}, seed {args.seed}"])
    made = document(COMMAND, rows, summary(rows))
    write(args.out, made)
    print(json.dumps(made if args.json else made["summary"], indent=1))


if __name__ == "__main__":
    main()
