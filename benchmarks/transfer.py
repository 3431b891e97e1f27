"""Does transfer pay? `python -m benchmarks.transfer --data DIR --folds FOLDS --workers 2`, then `… --report`

Tasks of every domain, for each of which no supernet may answer that was trained on a relative of it; for
generalists that saw one, others stand in that did not (`zoo.folds` says how FOLDS is built):

- `main`: a search from scratch and `--from auto` as a user gets it, five seeds, equal seconds.
- `few`: the same with 20, 5 and 100 training images a class.
- `matrix`: every supernet on every target for a few seconds, one seed: what the best choice would have been.
- `retrieval`: which supernet each distance would have chosen.
- `rivals`: a linear probe, the whole MobileNetV2 finetuned, a residual network from scratch, and the search
  from scratch with the probe that `auto` has.
- `ablation`: weights and alphas, either, neither; no search at all; a generalist.
- `epochs`: a search from scratch and `--from auto` for equally many epochs.
- `oracle`: of each target the best of `matrix`, the winner of the races of `main` and the nearest source, for
  as long as `main`. What they are follows from the rows that there are when the command starts.
- `long`: of the arms of `ablation` those that tell what a search is worth where there is time for one.
- `slow`: `--from auto` with and without the one supernet that is slow to train: whether time must count in a
  race (`benchmarks.race_rule`).
- `wall`: scratch, scratch with the probe and `--from auto` as a user runs them: wall clock, all cores. It
  takes one run at a time on a quiet machine, and runs only where it is named: `--parts wall`.

Rows go into a file of JSON lines as they come and are skipped when they are there, so that hours of runs can
be stopped and started again. Every run has one thread, and its seconds are processor time, so that two side
by side do not see each other. `wall` alone counts wall clock. Validation picks, test reports.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.transfer_plan import PARTS, TARGETS, WALL, Budgets, Job, plan, promising_sources

COMMAND = "python -m benchmarks.transfer --data DIR --folds FOLDS --workers 2"
Row = dict[str, Any]


def job_of(row: Row) -> Job:
    """The job that a row is of."""
    return Job(*(row[name] for name in Job.__dataclass_fields__))


def run(
    jobs: Sequence[Job], *, data: Path, home: Path, out: Path, workers: int, until: float | None
) -> list[str]:
    """Run jobs and append their rows; returns the failures.

    Args:
        jobs: in order.
        data: folder of npz files.
        home: of a registry with the starter zoo.
        out: file of JSON lines.
        workers: runs side by side.
        until: no job begins after this time (`time.monotonic`).
    """
    from benchmarks.transfer_arms import measure

    failures: list[str] = []
    context = multiprocessing.get_context("spawn")  # a fork of OpenMP's threads can hang
    waiting, done = iter(jobs), 0
    with (
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        out.open("a", encoding="utf-8") as file,
    ):
        running: dict[Any, Job] = {}

        def start() -> None:
            if until is None or time.monotonic() < until:
                job = next(waiting, None)
                if job is not None:
                    running[pool.submit(measure, job, data, home)] = job

        for _ in range(workers):
            start()
        while running:
            future = next(as_completed(running))
            job = running.pop(future)
            start()
            done += 1
            name = " ".join(str(part) for part in job.key() if part is not None)
            try:
                row = future.result()
            except Exception as error:
                failures.append(f"{name}: {type(error).__name__}: {error}")
                print(f"failed: {failures[-1]}", file=sys.stderr, flush=True)
                continue
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            told = f": {row['test']:.3f}" if "test" in row else ""
            print(f"[{done}/{len(jobs)}] {name}{told}", file=sys.stderr, flush=True)
    return failures


def main() -> None:
    """Run what is missing; or make the tables, the plots and the document of what is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files, or of folders")
    parser.add_argument("--targets", nargs="+", default=TARGETS, help="datasets in it")
    parser.add_argument("--folds", type=Path, help="folder of the folds' generalists, where a target has any")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1], help="which, in this order")
    parser.add_argument("--arms", nargs="+", help="only these of the parts' arms")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side")
    parser.add_argument("--minutes", type=float, help="begin no run after so many")
    parser.add_argument("--rows", type=Path, default=RESULTS / "transfer.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "transfer.json")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where --report writes its pictures")
    parser.add_argument("--report", action="store_true", help="run nothing, report what is there")
    arguments = parser.parse_args()
    budgets = Budgets()
    if WALL in arguments.parts and arguments.workers > 1:
        parser.error(f"the part {WALL} takes one run at a time: leave --workers out")
    if not arguments.report:
        from benchmarks.leave_out import open_zoo
        from benchmarks.transfer_arms import names_of
        from zoo.folds import stand_ins

        if arguments.folds is None and any(map(stand_ins, arguments.targets)):
            parser.error(
                "say where the folds' generalists are: --folds FOLDS (how to build them: zoo/folds.py)"
            )
        with tempfile.TemporaryDirectory() as home:
            try:
                sources = names_of(open_zoo(Path(home), arguments.folds), arguments.targets)
            except FileNotFoundError as error:
                parser.error(str(error))
            rows = read_rows(arguments.rows)
            wanted = [
                job
                for job in plan(arguments.parts, budgets, sources, promising_sources(rows), arguments.targets)
                if not arguments.arms or job.arm in arguments.arms
            ]
            if not wanted:
                parser.error(
                    f"the parts {', '.join(arguments.parts)} have none of the arms asked for; oracle has "
                    f"none before {arguments.rows} has rows of main, matrix and retrieval"
                )
            there = {job_of(row).key() for row in rows}
            failures = run(
                [job for job in wanted if job.key() not in there],
                data=arguments.data,
                home=Path(home),
                out=arguments.rows,
                workers=arguments.workers,
                until=None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes,
            )
        if failures:
            sys.exit(f"{len(failures)} runs failed; start the command again to repeat them")
    from benchmarks.transfer_pictures import draw
    from benchmarks.transfer_report import summarise
    from benchmarks.transfer_tables import insert

    rows = read_rows(arguments.rows)
    # Curves, races and rankings stay in the file of rows alone.
    plain = [{k: v for k, v in row.items() if not isinstance(v, dict | list)} for row in rows]
    made = document(COMMAND, plain, summarise(rows))
    write(arguments.out, made)
    if arguments.report:
        draw(rows, arguments.docs)
        insert(arguments.docs / "transfer.md", made["summary"])
    print(json.dumps(made["summary"]))


if __name__ == "__main__":
    main()
