"""How long one waits: for a query, and for training to begin from `auto`; wall clock of fresh processes.

    python -m benchmarks.waiting --json --data DIR [--datasets NAME …] [--threads default 1 …] [--rounds 3]

Each round has a process for each dataset and number of threads, in turn, nothing beside it: imports, opening
a registry that is there, a query as `snt-zoo query` makes it; then a run with 60 s until its race has ended.
`default` leaves the number of threads to the libraries, as users do. Other benchmarks count processor time
of one thread, and do not see what threads cost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, tell, write

COMMAND = "python -m benchmarks.waiting --json --data DIR"
DATASETS = ("gtsrb", "asl36", "elpv_type")  # 2,000, 1,700 and 2,000 images; none a source of the starter zoo
DEFAULT = "default"


class _BegunError(Exception):
    """Training has begun: all that is asked."""


def wait(data: Path, home: Path) -> dict[str, float]:
    """Seconds of each step, in this process, which must be fresh."""
    began = time.perf_counter()
    from snt_zoo import Zoo, open_dataset

    zoo, dataset = Zoo.open(home), open_dataset(data)
    opened = time.perf_counter()
    zoo.query(dataset)
    answered = time.perf_counter()
    stages: dict[str, float] = {}

    def on_epoch(record: Any) -> None:
        stages[record.stage] = record.seconds
        if record.stage not in ("probe", "race", "head"):
            raise _BegunError

    with contextlib.suppress(_BegunError):
        zoo.finetune("auto", dataset, budget=60, device="cpu", on_epoch=on_epoch)
    return {
        "open": opened - began,
        "query": answered - opened,
        "probe": stages["probe"],
        "race": stages["race"],
    }


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--threads", nargs="+", default=[DEFAULT, "1"], help=f"numbers, or {DEFAULT}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "waiting.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(wait(arguments.data, arguments.one)))
        return
    missing = [name for name in arguments.datasets if not (arguments.data / f"{name}.npz").is_file()]
    if missing:
        parser.error(f"{arguments.data} has no {', '.join(missing)} (.npz): name others with --datasets")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not all(each == DEFAULT or (each.isdigit() and int(each)) for each in arguments.threads):
        parser.error(f"--threads takes positive numbers or {DEFAULT}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        for warm in (True, *[False] * arguments.rounds):  # the first seeds the registry and fills caches
            for name in arguments.datasets[: 1 if warm else None]:
                for threads in arguments.threads[: 1 if warm else None]:
                    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
                    if threads != DEFAULT:
                        environment["OMP_NUM_THREADS"] = threads
                    command = [sys.executable, "-m", "benchmarks.waiting", "--one", home]
                    command += ["--data", str(arguments.data / f"{name}.npz")]
                    done = subprocess.run(
                        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
                    )
                    if warm:
                        continue
                    found = {key: round(value, 3) for key, value in json.loads(done.stdout).items()}
                    rows.append({"dataset": name, "threads": threads, **found})
                    tell(rows[-1])
    medians = {
        threads: {
            key: round(statistics.median(row[key] for row in rows if row["threads"] == threads), 2)
            for key in rows[0]
            if key not in ("dataset", "threads")
        }
        for threads in arguments.threads
    }
    made = document(COMMAND, rows, {"median_seconds": medians})
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
