"""How soon is a from-scratch search overtaken? `python -m benchmarks.time_to_accuracy --data DIR`

On tasks that are not in the starter zoo, with three seeds: the best match finetuned (`match`), a supernet of
the zoo drawn at random (`random`), and a search from fresh weights (`scratch`), all with the same budget in
seconds. The figure is the time at which a run first has the validation accuracy that the search from scratch
has at the end of its budget, against the time at which that search itself first has it. Test accuracy is
reported and picks nothing.

Rows go into a file of JSON lines as they come and are skipped when they are there, so that the command can
be stopped and started again. `--workers 2` trains two at a time on one thread each: then both arms of a
comparison run under the same conditions, and only ratios mean anything.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write

# Named before any was run: two glyph, two icon, three photograph and one handwriting task.
TASKS = (
    "font_greek_lower",
    "font_khmer",
    "icon_shapes",
    "icon_food",
    "natural8",
    "trashnet",
    "chars74k_natural",
    "ahcd_arabic_hand",
)
ARMS = ("scratch", "match", "random")
SEEDS = (0, 1, 2)


def measure(task: str, arm: str, seed: int, data: Path, budget: float, threads: int) -> dict[str, Any]:
    """One run; returns its row."""
    import torch

    from snt_zoo.data import open_dataset
    from snt_zoo.zoo import Zoo

    torch.set_num_threads(threads)
    dataset = open_dataset(data / f"{task}.npz")
    with tempfile.TemporaryDirectory() as home:
        zoo = Zoo.open(home)
        best = zoo.query(dataset, k=1)[0].id
        source = {"scratch": "scratch", "match": best}.get(arm)
        if source is None:
            others = sorted(record.id for record in zoo.list() if record.id != best)
            source = random.Random(f"{task}/{seed}").choice(others)
        result = zoo.finetune(source, dataset, budget=budget, seed=seed, device="cpu", floor=False)
    return {
        "task": task,
        "arm": arm,
        "seed": seed,
        "budget": budget,
        "threads": threads,
        "source": result.source,
        "val_accuracy": result.accuracy["val"],
        "test_accuracy": result.accuracy["test"],
        "params": result.params,
        "macs": result.macs,
        "steps": dict(result.steps),
        "genotype": result.genotype.to_json()["cells"],
        "curve": [
            [record.stage, round(record.seconds, 2), round(record.val_accuracy, 4)]
            for record in result.history
        ],
    }


def first_time(row: dict[str, Any], accuracy: float) -> float | None:
    """Seconds at which a run first has an accuracy; None if it never has."""
    return next((t for _, t, value in row["curve"] if value >= accuracy - 1e-9), None)


def compare(scratch: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """How many times sooner a run has the search's best validation accuracy, and its gain on the test part.

    A run that never has it counts as having it after twice the budget.
    """
    goal = max(value for _, _, value in scratch["curve"])
    theirs, mine = first_time(scratch, goal), first_time(other, goal)
    assert theirs is not None
    gain = other["test_accuracy"] - scratch["test_accuracy"]
    return theirs / (2 * other["budget"] if mine is None else max(mine, 0.01)), gain


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of times and gains in test accuracy for each task, and what they come to."""
    by_key = {(row["task"], row["arm"], row["seed"]): row for row in rows}
    tasks: dict[str, Any] = {}
    for task in TASKS:
        searched = [by_key[task, "scratch", seed] for seed in SEEDS if (task, "scratch", seed) in by_key]
        if not searched:
            continue
        reached = statistics.median(row["val_accuracy"] for row in searched)
        entry: dict[str, Any] = {"scratch_val_accuracy": round(reached, 4)}
        for arm in ARMS[1:]:
            pairs = [
                compare(row, by_key[task, arm, row["seed"]])
                for row in searched
                if (task, arm, row["seed"]) in by_key
            ]
            if pairs:
                ratios = [ratio for ratio, _ in pairs]
                entry[arm] = {
                    "time_ratios": [round(ratio, 2) for ratio in ratios],
                    "median_time_ratio": round(statistics.median(ratios), 2),
                    "sooner": statistics.median(ratios) > 1,
                    "mean_test_gain": round(statistics.fmean(gain for _, gain in pairs), 4),
                }
        tasks[task] = entry
    summary: dict[str, Any] = {"tasks": tasks}
    for arm in ARMS[1:]:
        found = [entry[arm] for entry in tasks.values() if arm in entry]
        if found:
            logs = [math.log(ratio) for entry in found for ratio in entry["time_ratios"]]
            summary[arm] = {
                "tasks": len(found),
                "sooner": sum(entry["sooner"] for entry in found),
                "runs": len(logs),
                "time_ratio_geomean": round(math.exp(statistics.fmean(logs)), 2),
                "mean_test_gain": round(statistics.fmean(entry["mean_test_gain"] for entry in found), 4),
            }
    return summary


def main() -> None:
    """Run what is missing, then write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--budget", type=float, default=45.0, help="seconds of each run")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side")
    parser.add_argument("--rows", type=Path, default=RESULTS / "time_to_accuracy.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "time_to_accuracy.json")
    parser.add_argument("--report", action="store_true", help="run nothing, write the document only")
    arguments = parser.parse_args()
    lines = arguments.rows.read_text(encoding="utf-8").splitlines() if arguments.rows.is_file() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["task"], row["arm"], row["seed"]) for row in rows if row["budget"] == arguments.budget}
    # Both arms of a comparison side by side; the random source, which no claim rests on, last.
    wanted = [(t, arm, s) for arms in (ARMS[:2], ARMS[2:]) for s in SEEDS for t in TASKS for arm in arms]
    missing = [] if arguments.report else [key for key in wanted if key not in done]
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.workers) as pool, arguments.rows.open("a", encoding="utf-8") as file:
        jobs = [pool.submit(measure, *key, arguments.data, arguments.budget, threads) for key in missing]
        for job in as_completed(jobs):
            row = job.result()
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            told = f"{row['task']} {row['arm']} {row['seed']}: {row['test_accuracy']:.3f}"
            print(f"[{len(rows)}/{len(wanted)}] {told}", file=sys.stderr, flush=True)
    rows.sort(key=lambda row: (row["task"], row["arm"], row["seed"]))
    options = f"--budget {arguments.budget:g} --workers {arguments.workers}"
    command = f"python -m benchmarks.time_to_accuracy --data DIR {options}"
    made = document(command, rows, summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made["summary"]))


if __name__ == "__main__":
    main()
