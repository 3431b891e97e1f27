"""What race, search and floor bring in the default budget: `python -m benchmarks.ten_minutes --data DIR`

Six targets, three of them photographs, none with a relative in the starter zoo. Each arm has ten minutes, the
default of `snt-zoo finetune`:

- `auto`: the default: race, search, floor.
- `no search`: the same, with `search_share` 0.
- `no race`: the broadest generalist, without asking who else there is.
- `old race`: the race of before decision 73, as far as it was run, by the code of then.
- `auto, two errors`: the rule of decision 73 with two standard errors in place of one, likewise.
- `probe`: the floor alone, a linear probe on the features of the backbone, fitted to all training images.

What the floor brings is in the row of `auto`, which has the derived network's accuracy beside that of what
was handed back. Where `auto` made no step of search, or its race ended with the broadest generalist, the arm
without that is the same run and is not made. Every run has one thread and counts processor time, so that two
side by side do not see each other. Rows go into a file as they come, and those that are there are skipped.
Validation picks, test reports.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.transfer_plan import Job

COMMAND = "python -m benchmarks.ten_minutes --data DIR --workers 2"
TARGETS = (
    "photos/aerial7",
    "photos/animals20",
    "photos/dishes10",
    "collection/font_khmer.npz",
    "collection/icon_food.npz",
    "collection/openarena_texture.npz",
)
"""In the folder of the data; of those of `benchmarks.transfer` the ones whose relatives no generalist saw."""
ARMS = ("probe", "auto", "no race", "no search")
BROADEST = "nb201-generalist-all"
Row = dict[str, Any]


def measure(target: str, arm: str, seed: int, budget: float, data: Path, home: Path) -> Row:
    """One run; returns its row."""
    import torch

    from benchmarks.transfer_arms import rival, row_of
    from snt_zoo import Zoo, open_dataset

    torch.set_num_threads(1)
    dataset, zoo = open_dataset(data / target), Zoo.open(home)
    options: dict[str, Any] = {"budget": budget, "seed": seed, "device": "cpu", "timer": time.process_time}
    row: Row = {"target": target, "arm": arm, "seed": seed, "budget": budget}
    row |= {
        "classes": dataset.num_classes,
        "train_images": len(dataset.train),
        "val_images": len(dataset.val),
    }
    if arm == "probe":
        return row | rival(Job("rivals", target, "probe", seed, budget), dataset)
    source = BROADEST if arm == "no race" else "auto"
    if arm == "no search":
        options["recipe"] = {"search_share": 0.0}
    return row | row_of(zoo.finetune(source, dataset, **options))


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Test accuracies by target and arm, and what race, search and floor bring in points."""
    by = {(row["target"], row["arm"], row["seed"]): row for row in rows}
    table: dict[str, dict[str, float]] = {}
    gains: dict[str, list[float]] = {"race": [], "search": [], "floor": []}
    for (target, arm, seed), row in by.items():
        table.setdefault(target, {})[arm] = row["test"]
        if arm != "auto":
            continue
        gains["floor"].append(100 * (row["test"] - row["derived"]["test"]))
        table[target]["auto, derived alone"] = row["derived"]["test"]
        for part, without in (("race", "no race"), ("search", "no search")):
            other = row if _same(without, row) else by.get((target, without, seed))
            if other is not None:
                gains[part].append(100 * (row["test"] - other["test"]))
    runs = len(gains["floor"])
    points = {part: _points(values) if len(values) == runs else None for part, values in gains.items()}
    return {"test_accuracy": table, "points": points}


def _points(values: Sequence[float]) -> Mapping[str, float] | None:
    """Their mean and range; None where there are none, as where not every run has what to compare with."""
    if not values:
        return None
    mean = statistics.fmean(values)
    return {"mean": round(mean, 2), "least": round(min(values), 2), "most": round(max(values), 2)}


def main() -> None:
    """Run what is missing, write the document and print its summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ten_minutes", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with collection/ and photos/")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=float, default=600.0, help="seconds of processor time")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side")
    parser.add_argument("--rows", type=Path, default=RESULTS / "ten_minutes.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "ten_minutes.json")
    arguments = parser.parse_args()
    missing = [target for target in arguments.targets if not (arguments.data / target).exists()]
    if missing:
        parser.error(f"{arguments.data} has no {', '.join(missing)}: name others with --targets")
    failures = 0
    for arms in (("probe", "auto"), ("no race", "no search")):  # the latter turn on what `auto` came to
        failures += _run([arm for arm in arms if arm in arguments.arms], arguments)
    rows = read_rows(arguments.rows)
    plain = [{k: v for k, v in row.items() if k not in ("race", "curve")} for row in rows]
    made = document(COMMAND, plain, summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made["summary"]))
    if failures:
        sys.exit(f"{failures} runs failed; start the command again to repeat them")


def _run(arms: Sequence[str], arguments: argparse.Namespace) -> int:
    """Run what is missing of some arms; returns the number of failures."""
    rows = {(r["target"], r["arm"], r["seed"], r["budget"]): r for r in read_rows(arguments.rows)}
    jobs = []
    for seed in arguments.seeds:
        for arm in arms:
            for target in arguments.targets:
                job = (target, arm, seed, arguments.budget)
                if job not in rows and not _same(arm, rows.get((target, "auto", seed, arguments.budget))):
                    jobs.append(job)
    failures = 0
    context = multiprocessing.get_context("spawn")  # a fork of OpenMP's threads can hang
    with (
        tempfile.TemporaryDirectory() as home,
        ProcessPoolExecutor(arguments.workers, mp_context=context) as pool,
        arguments.rows.open("a", encoding="utf-8") as file,
    ):
        from snt_zoo import Zoo

        Zoo.open(home)  # seeded once, before processes that would all do it
        running = {pool.submit(measure, *job, arguments.data, Path(home)): job for job in jobs}
        for done, future in enumerate(as_completed(running), 1):
            name = " ".join(map(str, running[future][:3]))
            try:
                row = future.result()
            except Exception as error:
                failures += 1
                print(f"failed: {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            print(f"[{done}/{len(jobs)}] {name}: {row['test']:.3f}", file=sys.stderr, flush=True)
    return failures


def _same(arm: str, auto: Row | None) -> bool:
    """Whether an arm would be what `auto` was."""
    if auto is None:
        return False
    if arm == "no search":
        return bool(auto["search_steps"] == 0)
    return str(auto["from"]).startswith(BROADEST)


if __name__ == "__main__":
    main()
