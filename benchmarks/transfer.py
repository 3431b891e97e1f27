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
import functools
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.transfer_plan import PARTS, TARGETS, WALL, Budgets, Job, plan, promising_sources
from snt_zoo.executor import LOCAL, run_tasks

COMMAND = "python -m benchmarks.transfer --data DIR --folds FOLDS --workers 2"
Row = dict[str, Any]


def job_of(row: Row) -> Job:
    """The job that a row is of."""
    return Job(*(row[name] for name in Job.__dataclass_fields__))


def run(
    jobs: Sequence[Job], *, data: Path, home: Path, out: Path, on: str, workers: int, until: float
) -> list[str]:
    """Run jobs and append their rows; returns the failures.

    Args:
        jobs: in order.
        data: folder of npz files.
        home: of a registry with the starter zoo.
        out: file of JSON lines.
        on: as of `run_tasks`.
        workers: runs side by side.
        until: no job begins after this time (`time.time`).
    """
    failures: list[str] = []
    task = functools.partial(_measure, data=data, home=home, until=until)
    with out.open("a", encoding="utf-8") as file:
        for done, ended in enumerate(run_tasks(task, jobs, on=on, workers=workers), 1):
            name = " ".join(str(part) for part in ended.task.key() if part is not None)
            row = ended.result
            if ended.error is not None:
                failures.append(f"{name}: {type(ended.error).__name__}: {ended.error}")
                print(f"failed: {failures[-1]}", file=sys.stderr, flush=True)
            elif row is not None:
                file.write(json.dumps(row, allow_nan=False) + "\n")
                file.flush()
                told = f": {row['test']:.3f}" if "test" in row else ""
                left = f", some {ended.left / 60:.0f} min left"
                print(f"[{done}/{len(jobs)}] {name}{told}{left}", file=sys.stderr, flush=True)
    return failures


def _measure(job: Job, *, data: Path, home: Path, until: float) -> Row | None:
    """The row of a job; None where it is too late to begin it."""
    from benchmarks.transfer_arms import measure

    return measure(job, data, home) if time.time() < until else None


def main() -> None:
    """Run what is missing; or make the tables, the plots and the document of what is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files, or of folders")
    parser.add_argument("--targets", nargs="+", default=TARGETS, help="datasets in it")
    parser.add_argument("--folds", type=Path, help="folder of the folds' generalists, where a target has any")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1], help="which, in this order")
    parser.add_argument("--arms", nargs="+", help="only these of the parts' arms")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side")
    parser.add_argument("--on", default=LOCAL, help="where: local, ray or ray://HOST:PORT")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after so many")
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
                on=arguments.on,
                workers=arguments.workers,
                until=time.time() + 60 * arguments.minutes,
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
