"""What a busy machine costs: query, list and finetune alone and beside processes that take all they get.

    python -m benchmarks.busy --json --data DIR [--dataset gtsrb] [--beside 0 1 2 4] [--rounds 3]

Wall clock of whole commands in fresh processes, over a registry that is there. In each round every command
runs beside each number of busy processes, one after the other. On a quiet machine it runs once more with
threads that spin while they wait, which is what OpenMP does by itself: what `snt_zoo.threads` costs there.
`finetune` has a budget of `--budget` seconds; its accuracy on validation and test is reported too.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, tell, write

COMMAND = "python -m benchmarks.busy --json --data DIR"
SPINNING = {"OMP_WAIT_POLICY": "ACTIVE"}
_OWN = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "SNT_ZOO_THREADS")


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that compute without end."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure(command: list[str], home: Path, more: dict[str, str]) -> dict[str, Any]:
    """Seconds of a command in a fresh process, and the accuracy of a finetune."""
    environment = {k: v for k, v in os.environ.items() if k not in _OWN}
    environment |= {"SNT_ZOO_HOME": str(home), **more}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snt_zoo", *command, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    row: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 3)}
    answer = json.loads(done.stdout)
    return row | (answer["accuracy"] if command[0] == "finetune" else {})


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Median seconds of each command by the processes beside it, and ratios to the quiet machine."""
    found: dict[str, Any] = {}
    for command in dict.fromkeys(row["command"] for row in rows):
        own = [row for row in rows if row["command"] == command and not row["spinning"]]
        medians = {
            beside: statistics.median(row["seconds"] for row in own if row["beside"] == beside)
            for beside in sorted({row["beside"] for row in own})
        }
        spinning = [row["seconds"] for row in rows if row["command"] == command and row["spinning"]]
        alone = medians[min(medians)]
        found[command] = {
            "seconds": {str(beside): round(seconds, 2) for beside, seconds in medians.items()},
            "times": {str(beside): round(seconds / alone, 2) for beside, seconds in medians.items()},
            "quiet, by spinning": round(alone / statistics.median(spinning), 3) if spinning else None,
        }
    return found


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--dataset", default="gtsrb", help="2,000 images")
    parser.add_argument("--beside", nargs="+", type=int, default=[0, 1, 2, 4], help="busy processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=30, help="seconds of a finetune")
    parser.add_argument("--commands", nargs="+", default=["list", "query", "finetune"])
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "busy.json")
    arguments = parser.parse_args()
    images = arguments.data / f"{arguments.dataset}.npz"
    if not images.is_file():
        parser.error(f"{arguments.data} has no {images.name}: name another with --dataset")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        measure(["query", str(images)], home, {})  # seeds the registry and fills caches
        for turn in range(arguments.rounds):
            for name in arguments.commands:
                words = [name] if name == "list" else [name, str(images)]
                if name == "finetune":
                    words += ["--budget", f"{arguments.budget}s", "--seed", str(turn)]
                for beside, spinning in [*((each, False) for each in arguments.beside), (0, True)]:
                    out = ["--out", f"{folder}/{turn}-{beside}-{spinning}"] if name == "finetune" else []
                    with busy(beside):
                        row = measure([*words, *out], home, SPINNING if spinning else {})
                    rows.append({"command": name, "beside": beside, "spinning": spinning, **row})
                    tell(rows[-1])
    made = document(COMMAND, rows, summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
