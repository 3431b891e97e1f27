"""What the executors cost, and whether they lose anything: `python -m benchmarks.scale --json [--data DIR]`

- `tasks`: tasks that sleep, by processes (a fifth of them) and by Ray: wall clock against the ideal, which is
  all seconds of sleep over the number of workers. Starting is in it: `start_seconds`, until a task has ended.
- `kills`: a driver that writes one file a task is killed at random and started again: files in the end, and
  tasks that were run more than once (those that ran at a kill may be).
- `bits`: with `--data`, three recipes of the zoo for an epoch, one by one and by Ray: how many have the same
  weights.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, tell, write
from snt_zoo.executor import LOCAL, RAY, run_tasks

COMMAND = "python -m benchmarks.scale --json --data DIR"
SLEEP = 0.05
RECIPES = ("nb201-font-latin-upper", "nb201-mnist10k", "nb201-textile-sim")


def sleep(seconds: float) -> None:
    """A task that takes no processor."""
    time.sleep(seconds)


def note(folder: Path, number: int) -> None:
    """A task whose artefact tells how often it was run."""
    time.sleep(SLEEP)
    with (folder / str(number)).open("a", encoding="utf-8") as file:
        file.write("x")


def overhead(on: str, count: int, workers: int) -> dict[str, Any]:
    """Many short tasks."""
    start = time.perf_counter()
    ends, failed = [], 0
    for ended in run_tasks(sleep, [SLEEP] * count, on=on, workers=workers):
        ends.append(time.perf_counter() - start)
        failed += ended.error is not None
    seconds = time.perf_counter() - start
    ideal = SLEEP * count / workers
    return {
        "part": "tasks",
        "on": on,
        "tasks": len(ends),
        "failed": failed,
        "start_seconds": round(ends[0], 2),
        "seconds": round(seconds, 2),
        "ideal_seconds": round(ideal, 2),
        "overhead": round(seconds / ideal - 1, 4),
    }


def drive(folder: Path, on: str, count: int, workers: int) -> None:
    """The driver that is killed: it does what has no file yet."""
    left = [number for number in range(count) if not (folder / str(number)).exists()]
    for _ in run_tasks(functools.partial(note, folder), left, on=on, workers=workers):
        pass


def kills(on: str, count: int, workers: int, times: int, seed: int) -> dict[str, Any]:
    """Kill the driver again and again, and let it end at last."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "-m", "benchmarks.scale", "--drive", place, "--on", on]
        command += ["--tasks", str(count), "--workers", str(workers)]
        killed = 0
        for stop in sorted(draw.sample(range(1, count), times)):
            process = subprocess.Popen(command, start_new_session=True)
            while process.poll() is None and len(list(folder.iterdir())) < stop:
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.wait()
        subprocess.run(command, check=True)
        runs = [(folder / str(number)).read_text(encoding="utf-8").count("x") for number in range(count)]
    return {
        "part": "kills",
        "on": on,
        "tasks": count,
        "kills": killed,
        "lost": runs.count(0),
        "run_more_than_once": sum(each > 1 for each in runs),
        "may_be_run_more_than_once": killed * workers,
    }


def bits(data: list[Path], workers: int) -> dict[str, Any]:
    """The same bundles one by one and by Ray; each by as many threads."""
    digests: dict[str, list[str]] = {name: [] for name in RECIPES}
    with tempfile.TemporaryDirectory() as place:
        for on, parts in ((LOCAL, [[name] for name in RECIPES]), (RAY, [list(RECIPES)])):
            for part in parts:
                command = [sys.executable, "-m", "zoo.build", "--epochs", "1", "--out", f"{place}/{on}"]
                command += ["--on", on, "--workers", str(workers), "--data", *map(str, data)]
                command += [word for name in part for word in ("--only", name)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for name in RECIPES:
                manifest = (Path(place) / on / name / "manifest.json").read_text(encoding="utf-8")
                digests[name].append(_weights(manifest))
    equal = sum(one == other for one, other in digests.values())
    return {"part": "bits", "recipes": list(RECIPES), "equal": equal}


def _weights(manifest: str) -> str:
    """Digest of the weights: the configuration has the seconds of the training."""
    return str(json.loads(manifest)["files"]["model.safetensors"])


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", help="folders with the sources of the zoo")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--kill-tasks", type=int, default=500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--on", default=LOCAL, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        drive(arguments.drive, arguments.on, arguments.tasks, arguments.workers)
        return
    rows = []
    for on in (LOCAL, RAY):
        count = arguments.tasks if on == RAY else max(1, arguments.tasks // 5)
        rows.append(overhead(on, count, arguments.workers))
        tell(rows[-1])
        rows.append(kills(on, arguments.kill_tasks, arguments.workers, arguments.kills, arguments.seed))
        tell(rows[-1])
    if arguments.data:
        rows.append(bits(arguments.data, arguments.workers))
        tell(rows[-1])
    made = document(COMMAND, rows, {f"overhead_{r['on']}": r["overhead"] for r in rows if "overhead" in r})
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
