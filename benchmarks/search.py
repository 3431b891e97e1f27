"""Which searcher, and what besides? `python -m benchmarks.search --json --data DIR --seconds 30 --workers 2`

From scratch on five tasks of different domains, three seeds, equal seconds of processor time on one thread:
every searcher, regularisers on and off, the ways to select, a random architecture and a fixed residual
network of equal size, both trained for the whole budget, and `gdas` held to half of the multiply-accumulates
of the network that it found unbounded (by alpha, and with the handicap, whose networks are larger). `val`
picks (epochs, and the defaults that follow from this table); `test` reports.

Rows go into a file of JSON lines as they come and are skipped when they are there, so that the command can
be stopped and started again. Processor time, not wall clock: a busy second core does not distort it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows

# None is in the starter zoo: a script, icons, photographs, defects of solar cells, and handwriting.
TASKS = ("font_latin_lower", "icon_media", "natural8", "elpv_type", "ahcd_arabic_hand")
SEEDS = (0, 1, 2)
ALL = ("auxiliary-skip", "early-stopping", "skip-alarm")
WATCHED = ("skip-alarm",)  # watches and changes nothing: on in every arm
SEARCHED: dict[str, dict[str, Any]] = {
    "darts": {"searcher": "darts"},
    "darts+auxiliary-skip": {"searcher": "darts", "regularisers": ("auxiliary-skip", *WATCHED)},
    "darts+early-stopping": {"searcher": "darts", "regularisers": ("early-stopping", *WATCHED)},
    "darts+all-guards": {"searcher": "darts", "regularisers": ALL},
    "darts+perturbation": {"searcher": "darts", "selection": "perturbation"},
    "darts-2nd": {"searcher": "darts-2nd"},
    "pc-darts": {"searcher": "pc-darts"},
    "drnas": {"searcher": "drnas"},
    "gdas": {"searcher": "gdas"},
    "gdas+all-guards": {"searcher": "gdas", "regularisers": ALL},
    "gdas+perturbation": {"searcher": "gdas", "selection": "perturbation"},
    "gdas+handicap": {"searcher": "gdas", "selection": "handicap"},
    "gdas, short": {"searcher": "gdas", "search_share": 0.15},
    "gdas+handicap, short": {"searcher": "gdas", "selection": "handicap", "search_share": 0.15},
}
CONTROLS = ("random",)
# Those that need to know what another arm found for the task and seed: its size, its MACs.
FOLLOWING = {"resnet": "gdas", "gdas+half-macs": "gdas", "gdas+handicap+half-macs": "gdas+handicap"}
HALVED = ("gdas+half-macs", "gdas+handicap+half-macs")
ARMS: tuple[str, ...] = (*SEARCHED, *CONTROLS, *FOLLOWING)
CHANNELS, STEM_STRIDE = 16, 2  # as the starter zoo and `--from scratch`

Key = tuple[str, str, int]
Row = dict[str, Any]
_T = TypeVar("_T")


def measure(key: Key, data: Path, seconds: float, found: Row | None) -> Row:
    """One run.

    Args:
        key: task, arm and seed.
        data: folder of npz files.
        seconds: of processor time.
        found: the row of the arm that this one follows, for the same task and seed.
    """
    import torch

    from benchmarks import search_arms
    from snt_zoo.data import open_dataset

    torch.set_num_threads(1)
    task, arm, seed = key
    dataset = open_dataset(data / f"{task}.npz")
    row: Row = {"task": task, "arm": arm, "seed": seed, "budget": seconds}
    if arm == "random":
        return row | search_arms.random_architecture(dataset, seconds, seed)
    if arm == "resnet":
        assert found is not None
        return row | search_arms.residual(dataset, seconds, seed, params=found["params"])
    if arm in HALVED:
        assert found is not None
        half = found["macs"] // 2
        return row | search_arms.searched(dataset, seconds, seed, SEARCHED[FOLLOWING[arm]], max_macs=half)
    return row | search_arms.searched(dataset, seconds, seed, SEARCHED[arm])


def mean(rows: Sequence[_T], value: Callable[[_T], float]) -> float | None:
    """Mean over rows, rounded; None of none."""
    return round(statistics.fmean(map(value, rows)), 4) if rows else None


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """What the rows come to, by arm: means over tasks and seeds."""
    from snt_zoo.search.recipe import Recipe

    done = [row for row in rows if row["test_accuracy"] is not None]
    by_arm = {arm: [row for row in done if row["arm"] == arm] for arm in ARMS}
    by_arm = {arm: found for arm, found in by_arm.items() if found}
    by_key = {(row["task"], row["arm"], row["seed"]): row for row in done}
    searched = [row for row in done if row["genotype"] is not None and row["arm"] != "random"]
    default = Recipe()
    return {
        "default": {
            "searcher": default.searcher,
            "guards": list(default.regularisers),
            "selection": default.selection,
            "search_share": default.search_share,
        },
        "runs": {arm: len(found) for arm, found in by_arm.items()},
        "test_accuracy": {arm: mean(found, lambda r: r["test_accuracy"]) for arm, found in by_arm.items()},
        "val_accuracy": {arm: mean(found, lambda r: r["val_accuracy"]) for arm, found in by_arm.items()},
        "test_accuracy_by_task": {
            task: {
                arm: mean([r for r in found if r["task"] == task], lambda r: r["test_accuracy"])
                for arm, found in by_arm.items()
            }
            for task in TASKS
            if any(row["task"] == task for row in done)
        },
        "test_accuracy_above_darts": {
            arm: _above(found, by_key, "darts") for arm, found in by_arm.items() if arm != "darts"
        },
        "max_skip_share": max((row["skip_share"] for row in searched), default=None),
        "mean_skip_share": {
            arm: mean(found, lambda r: r["skip_share"]) for arm, found in by_arm.items() if arm != "resnet"
        },
        "gap": {
            arm: mean(found, lambda r: r["steps"]["supernet"] - r["steps"]["recalibrated"])
            for arm, found in by_arm.items()
            if arm not in ("random", "resnet")
        },
        "half_macs": {arm: _halved([row for row in rows if row["arm"] == arm], by_key) for arm in HALVED},
    }


def _halved(rows: Sequence[Row], by_key: dict[Key, Row]) -> dict[str, Any]:
    """Of runs with half of the MACs of another arm's network."""
    pairs = [
        (row, by_key[row["task"], FOLLOWING[row["arm"]], row["seed"]])
        for row in rows
        if row["test_accuracy"] is not None
    ]
    return {
        "runs": len(rows),
        "feasible": len(pairs),
        "obeyed": sum(row["macs"] <= row["max_macs"] for row, _ in pairs),
        "tasks_obeyed": sorted({row["task"] for row, _ in pairs if row["macs"] <= row["max_macs"]}),
        "mean_macs_share": mean(pairs, lambda p: p[0]["macs"] / p[1]["macs"]),
        "test_accuracy_lost": mean(pairs, lambda p: p[1]["test_accuracy"] - p[0]["test_accuracy"]),
    }


def _above(rows: Sequence[Row], by_key: dict[Key, Row], arm: str) -> dict[str, Any]:
    """Difference to an arm on the same tasks and seeds: its mean, and its standard error."""
    gains = [
        row["test_accuracy"] - by_key[row["task"], arm, row["seed"]]["test_accuracy"]
        for row in rows
        if (row["task"], arm, row["seed"]) in by_key
    ]
    if len(gains) < 2:
        return {"mean": gains[0] if gains else None, "standard_error": None}
    error = statistics.stdev(gains) / len(gains) ** 0.5
    return {"mean": round(statistics.fmean(gains), 4), "standard_error": round(error, 4)}


def _alone(key: Key, data: Path, seconds: float, base: Row | None) -> Row:
    """`measure` in a process of its own: nothing of one run is left for the next."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, key, data, seconds, base).result()


def run(keys: Sequence[Key], arguments: argparse.Namespace, rows: list[Row]) -> list[str]:
    """Run what is asked for, and append it to `rows` and to the file; returns the failures."""
    failures: list[str] = []
    bases = {(row["task"], row["arm"], row["seed"]): row for row in rows}
    total = len(rows) + len(keys)
    with (
        ThreadPoolExecutor(arguments.workers) as pool,
        arguments.out.open("a", encoding="utf-8") as file,
    ):
        jobs = {}
        for key in keys:
            base = bases.get((key[0], FOLLOWING.get(key[1], ""), key[2]))
            if key[1] in FOLLOWING and base is None:
                failures.append(
                    f"{' '.join(map(str, key))}: there is no row of {FOLLOWING[key[1]]} to follow"
                )
                continue
            jobs[pool.submit(_alone, key, arguments.data, arguments.seconds, base)] = key
        for job in as_completed(jobs):
            name = " ".join(map(str, jobs[job]))
            try:
                row = job.result()
            except Exception as error:
                failures.append(f"{name}: {type(error).__name__}: {error}")
                print(f"failed: {failures[-1]}", file=sys.stderr, flush=True)
                continue
            rows.append(row)
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            accuracy = row["test_accuracy"]
            told = "infeasible" if accuracy is None else f"{accuracy:.3f}"
            print(f"[{len(rows)}/{total}] {name}: {told}", file=sys.stderr, flush=True)
    return failures


def main() -> None:
    """Run what is missing, then write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the whole document, not its summary")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of npz files")
    parser.add_argument("--seconds", type=float, default=30.0, help="processor time of each run")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS / "search.jsonl", help="rows, one a line")
    parser.add_argument("--document", type=Path, help="[default: beside the rows, as .json]")
    parser.add_argument("--task", action="append", choices=TASKS, help="only these tasks")
    parser.add_argument("--arm", action="append", choices=ARMS, help="only these arms")
    parser.add_argument("--seed", action="append", type=int, choices=SEEDS, help="only these seeds")
    parser.add_argument("--report", action="store_true", help="run nothing, write the document only")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started below
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read_rows(arguments.out) if row["budget"] == arguments.seconds]
    failures: list[str] = []
    started = time.perf_counter()
    for arms in ((*SEARCHED, *CONTROLS), tuple(FOLLOWING)):
        done = {(row["task"], row["arm"], row["seed"]) for row in rows}
        wanted = [
            (task, arm, seed)
            for seed in arguments.seed or SEEDS
            for task in arguments.task or TASKS
            for arm in arms
            if arm in (arguments.arm or ARMS)
        ]
        missing = [] if arguments.report else [key for key in wanted if key not in done]
        failures += run(missing, arguments, rows)
    rows.sort(key=lambda row: (row["task"], ARMS.index(row["arm"]), row["seed"]))
    command = f"python -m benchmarks.search --json --data DIR --seconds {arguments.seconds:g}"
    made = document(f"{command} --workers {arguments.workers}", rows, summarise(rows))
    write(arguments.document or arguments.out.with_suffix(".json"), made)
    print(json.dumps(made if arguments.json else made["summary"], ensure_ascii=False))
    print(f"{time.perf_counter() - started:.0f} s, {len(failures)} failed", file=sys.stderr)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
