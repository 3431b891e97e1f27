"""Photographs at their own size: `python -m benchmarks.photographs --json --data DIR`

What `finetune("auto", …)` makes of sets of photographs in a minute and in ten, beside what a user would
otherwise do in the same time: linear probes of ImageNet networks, the whole networks finetuned, their last
stages alone (`benchmarks.photographs_plan` lists them).

- `main`: all training images; `auto-macs` is `auto` with at most 60 M multiply-accumulates.
- `few`: 5 and 20 training images a class, a minute; `auto` and the three rivals that were strongest in a
  minute of `main`, or those of `--arms`.

DIR holds `photos/NAME/train|val|test/CLASS/` and `backbones/*.safetensors`. Everything is wall clock with all
cores, so nothing should run beside it; each run is a process of its own, and what reading, training and
measuring take counts, on both sides. Rows go into a file of JSON lines as they come and are skipped when they
are there. Validation picks, test reports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.photographs_plan import (
    ARMS,
    AUTO,
    BUDGETS,
    PARTS,
    SEEDS,
    SETS,
    Auto,
    Job,
    plan,
    strongest,
    weights_of,
)

COMMAND = "python -m benchmarks.photographs --json --data DIR"
_OWN = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "SNT_ZOO_THREADS")
"""Variables that would decide how many threads compute: a run has all cores, as a user's."""
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads sleep while they wait, for every arm: the zoo sees to that for itself (docs/decisions.md, 77)."""
Row = dict[str, Any]


def run(jobs: Sequence[Job], data: Path, out: Path) -> int:
    """Run jobs one after the other and append their rows; returns the number of failures."""
    failures = 0
    for done, job in enumerate(jobs, 1):
        name = " ".join(str(part) for part in job.key() if part is not None)
        row, error = _apart(job, data)
        if row is None:
            failures += 1
            print(f"[{done}/{len(jobs)}] failed: {name}: {error}", file=sys.stderr, flush=True)
            continue
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        told = f"{row['test']:.3f} in {row['seconds']:.1f} s"
        print(f"[{done}/{len(jobs)}] {name}: {told}", file=sys.stderr, flush=True)
    return failures


def _apart(job: Job, data: Path) -> tuple[Row | None, str]:
    """A job in a process of its own; its row, or the last line of what it said."""
    command = [sys.executable, "-m", "benchmarks.photographs", "--data", str(data)]
    done = subprocess.run(
        [*command, "--one", json.dumps(asdict(job))],
        env={name: value for name, value in os.environ.items() if name not in _OWN} | _WAITING,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return None, (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1]), ""


def arms_there(backbones: Path) -> list[str]:
    """The arms whose network's weights are there."""
    return [
        name
        for name, arm in ARMS.items()
        if isinstance(arm, Auto) or weights_of(arm.network, backbones) is not None
    ]


def main() -> None:
    """Run what is missing, write the document, print its summary and the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with photos/ and backbones/")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", help=f"of {'; '.join(ARMS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS, help="seconds of wall clock")
    parser.add_argument("--rows", type=Path, default=RESULTS / "photographs.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "photographs.json")
    parser.add_argument("--report", action="store_true", help="run nothing, report what is there")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: stdout is JSON anyway")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.data is None and not arguments.report:
        parser.error("say where the photographs are: --data DIR")
    if arguments.one is not None:
        from benchmarks.photographs_arms import print_row

        print_row(arguments.one, arguments.data)
        return
    failures = 0 if arguments.report else _run_parts(arguments, parser)
    report(arguments.rows, arguments.out)
    if failures:
        sys.exit(f"{failures} runs failed; start the command again to repeat them")


def _run_parts(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    missing = [each for each in arguments.sets if not (arguments.data / "photos" / each / "train").is_dir()]
    if missing:
        parser.error(f"{arguments.data}/photos has no {', '.join(missing)}: name others with --sets")
    there = arms_there(arguments.data / "backbones")
    failures = 0
    for part in arguments.parts:
        rows = read_rows(arguments.rows)
        arms = arguments.arms or (there if part == "main" else [AUTO, *strongest(rows)])
        wanted = plan(
            part,
            sets=arguments.sets,
            arms=[arm for arm in arms if arm in there],
            seeds=arguments.seeds,
            budgets=arguments.budgets,
        )
        known = {Job(*(row[name] for name in Job.__dataclass_fields__)).key() for row in rows}
        failures += run([job for job in wanted if job.key() not in known], arguments.data, arguments.rows)
    return failures


def report(rows_file: Path, out: Path) -> None:
    """Write the document; the tables go to stderr, the summary to stdout."""
    from benchmarks.photographs_report import summarise, tables

    rows = read_rows(rows_file)
    plain = [{k: v for k, v in row.items() if not isinstance(v, dict | list)} for row in rows]
    made = document(COMMAND, plain, summarise(rows))
    write(out, made)
    print(tables(rows), file=sys.stderr)
    print(json.dumps(made["summary"]))


if __name__ == "__main__":
    main()
