"""Does a run with --pareto lose anything to networks that are finetuned alone?

    python -m benchmarks.pareto --json --data DIR [--budget 60] [--seed 0 --seed 1 …]

For each task one run from the best source, with several networks of its supernet; then each of them alone:
the same genotype from the same supernet, for the share of the whole budget that a network of its size has of
it (`snt_zoo.search.adapting.front_choice.shares_of`). What the run takes to compare networks and to find a
source counts against it and not against them.

`gap`: test accuracy alone, less that of the same network in the run, in points; positive where it is
dominated. `front`: of those that no other of the run beats on validation at its size or below. No supernet
answers for a task of which it saw a relative. Seconds are processor time of one thread. Rows go into a file
of JSON lines and are skipped when they are there.
"""

from __future__ import annotations

import argparse
import itertools
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
from snt_zoo.networks.derived import DerivedModel
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
SEEDS = (0, 1, 2)
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
    return {
        "source": result.source,
        "seconds": time.process_time() - began,
        "compared": len(result.front.compared),
        "networks": [
            {**point.facts(), "dominated": dominated, "genotype": point.model.genotype.to_json()}
            for point, dominated in result.front.networks
            if isinstance(point.model, DerivedModel)
        ],
    }


def alone(zoo: Zoo, row: Row, data: ImageDataset, place: int) -> Row:
    """What a network of a run's row comes to by itself."""
    point = row["networks"][place]
    share = shares_of([each["macs"] for each in row["networks"]])[place]
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
    """For each run its networks, and by how much each is dominated; and what comes of it for each task.

    `dominated` and `dominates` count the networks that one finetuned alone beats by more than a point, and
    those that beat it by more.
    """
    runs: dict[str, Any] = {}
    of_tasks: dict[str, list[float]] = {}
    fronts: list[float] = []
    for row in (row for row in rows if row["arm"] == "pareto"):
        by_macs = {
            other["macs"]: other["accuracy"]["test"]
            for other in rows
            if other["arm"] == "alone" and _key(other)[1:4] == _key(row)[1:4]
        }
        pairs = [(each, by_macs[each["macs"]]) for each in row["networks"] if each["macs"] in by_macs]
        gaps = [100 * (rival - each["accuracy"]["test"]) for each, rival in pairs]
        of_tasks.setdefault(row["task"], []).extend(gaps)
        fronts += [gap for gap, (each, _) in zip(gaps, pairs, strict=True) if not each["dominated"]]
        runs[f"{row['task']}, seed {row['seed']}"] = {
            "source": row["source"],
            "networks": len(row["networks"]),
            "front": sum(not each["dominated"] for each in row["networks"]),
            "macs": [each["macs"] for each, _ in pairs],
            "test": [round(100 * each["accuracy"]["test"], 1) for each, _ in pairs],
            "alone": [round(100 * rival, 1) for _, rival in pairs],
            "largest_gap": round(max(gaps), 1) if gaps else None,
        }
    every = [gap for gaps in of_tasks.values() for gap in gaps]
    return {
        "runs": runs,
        "tasks": {task: _told(gaps) for task, gaps in of_tasks.items()},
        "fewest_networks": min((each["networks"] for each in runs.values()), default=None),
        "all": _told(every),
        "fronts": _told(fronts),
    }


def _told(gaps: list[float]) -> dict[str, Any]:
    if not gaps:
        return {"networks": 0}
    return {
        "networks": len(gaps),
        "mean_gap": round(sum(gaps) / len(gaps), 1),
        "largest_gap": round(max(gaps), 1),
        "dominated": sum(gap > 1 for gap in gaps),
        "dominates": sum(gap < -1 for gap in gaps),
    }


def _key(row: Row) -> tuple[Any, ...]:
    return row["arm"], row["task"], row["seed"], row["budget"], row.get("place")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pareto", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz sets")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each run")
    parser.add_argument("--task", action="append", help="a set of the folder; may be repeated")
    parser.add_argument("--seed", type=int, action="append", help="may be repeated [default: 0, 1, 2]")
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

        for task, seed in itertools.product(args.task or TASKS, args.seed or SEEDS):
            data = open_dataset(args.data / f"{task}.npz")
            base = {"task": task, "seed": seed, "budget": args.budget}
            row = there.get(("pareto", task, seed, args.budget, None))
            if row is None:
                row = keep({"arm": "pareto", **base, **front(zoo, task, data, args.budget, seed)})
            for place in range(len(row["networks"])):
                if ("alone", task, seed, args.budget, place) not in there:
                    keep({"arm": "alone", "place": place, **base, **alone(zoo, row, data, place)})
            tell({"task": task} | summary(rows)["runs"][f"{task}, seed {seed}"])
    made = document(f"{COMMAND} --budget {args.budget:g}", rows, summary(rows))
    write(args.out, made)
    print(json.dumps(made if args.json else made["summary"], indent=1))


if __name__ == "__main__":
    main()
