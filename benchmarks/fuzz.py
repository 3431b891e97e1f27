"""Does any file crash or hang a parser? `python -m benchmarks.fuzz [--seconds 600] [--out FILE]`

Every parser of outside bytes (`benchmarks.fuzz_targets`) is given real files with some edits each, most
of which keep to the format (`benchmarks.mutations`). Hypothesis draws the edits, and where something is
wrong takes away those that do not matter. Each parser works in a process of its own, which notes every
case before it begins: one that takes more than ten seconds of processor time, a process that dies, one
that grows by more than 1.5 GiB, and any error that is not of `snt_zoo.errors`, is a finding.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import MutableSequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.document import document, write
from benchmarks.fuzz_targets import Target, make_targets
from benchmarks.memory import peak_bytes

CASE_SECONDS = 10.0  # of processor time
HANG_SECONDS = 120.0  # of the clock, for a process that waits and computes nothing
GROWTH_BYTES = 3 * 2**29
_BATCH = 250  # cases of one run of hypothesis
_MOST_FINDINGS = 20  # of one parser
MOST_EDITS = 6  # of one case

CASES = st.tuples(st.integers(0, 63), st.lists(st.integers(0, 2**63), min_size=1, max_size=MOST_EDITS))
"""The number of a good file, and those of its edits."""


class Prober:
    """Gives cases to one parser, and counts.

    Args:
        target: the parser.
        counts: cases, those that were accepted, the slowest in seconds, the largest size in bytes, and
            when the last case began; shared with the process that watches.
        case: that last case, as `_told` reads it; shared as well.
    """

    def __init__(self, target: Target, counts: MutableSequence[float], case: MutableSequence[int]) -> None:
        self.target = target
        self.counts = counts
        self.case = case
        self._before = peak_bytes()

    def try_one(self, number: int, edits: list[int]) -> None:
        """Raise unless the parser reads the case, or refuses it as it should, in time and memory."""
        self.case[: 2 + len(edits)] = [number, len(edits), *edits]
        self.counts[4] = time.monotonic()
        raw = self.target.case(number, edits)
        start = time.process_time()
        accepted = self.target.accepts(raw)
        seconds = time.process_time() - start
        self.counts[0] += 1
        self.counts[1] += accepted
        self.counts[2] = max(self.counts[2], seconds)
        self.counts[3] = peak_bytes()
        assert seconds < CASE_SECONDS, f"took {seconds:.1f} s"
        assert peak_bytes() - self._before < GROWTH_BYTES, f"grew to {peak_bytes():,} bytes"

    def batch(self, number: int, *, size: int = _BATCH) -> None:
        """Let hypothesis draw cases; raises for the smallest that is wrong."""
        quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        phases = (Phase.generate, Phase.shrink)

        @seed(number)
        @settings(max_examples=size, database=None, deadline=None, suppress_health_check=quiet, phases=phases)
        @given(case=CASES)
        def probe(case: tuple[int, list[int]]) -> None:
            self.try_one(*case)

        probe()


def _work(prober: Prober, findings: Connection, number: int) -> None:
    """Probe a parser until something is found, or the process is ended."""
    # Threads of the parent are not there after a fork: an operation that waits for them waits for ever.
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and Pillow complain of every file
    try:
        while True:
            prober.batch(number)
            number += 1
    except Exception:
        findings.send(traceback.format_exc()[-3000:])


def run(target: Target, seconds: float, *, number: int) -> dict[str, Any]:
    """One row: a parser, probed for some seconds.

    Args:
        target: the parser.
        seconds: of the clock.
        number: decides the cases.
    """
    found: list[str] = []
    totals = [0.0] * 4
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    while time.monotonic() < end and len(found) < _MOST_FINDINGS:
        counts = context.Array("d", 5, lock=False)
        counts[4] = time.monotonic()
        prober = Prober(target, counts, context.Array("Q", 2 + MOST_EDITS, lock=False))
        receiver, sender = context.Pipe(duplex=False)
        number += 10**5  # other cases, if this is not the first
        child = context.Process(target=_work, args=(prober, sender, number))
        child.start()
        sender.close()
        finding = _watch(child, receiver, end, prober)
        child.kill()
        child.join()
        receiver.close()
        totals = [totals[0] + counts[0], totals[1] + counts[1], *map(max, totals[2:], counts[2:4])]
        if finding is not None:
            found.append(finding)
    if not totals[0] and not found:
        found.append(f"no case was ended in {seconds:.0f} s")
    return {
        "parser": target.name,
        "cases": int(totals[0]),
        "accepted": int(totals[1]),
        "slowest_s": round(totals[2], 3),
        "peak_mb": int(totals[3]) >> 20,
        "findings": found,
    }


def _watch(
    child: multiprocessing.process.BaseProcess, receiver: Connection, end: float, prober: Prober
) -> str | None:
    """What a process found, or how it ended; None if the time is over."""
    while time.monotonic() < end:
        if receiver.poll(0.2):
            try:
                return str(receiver.recv())
            except EOFError:
                child.join()
                return f"the process died with {child.exitcode} at the case {_told(prober.case)}"
        if time.monotonic() - prober.counts[4] > HANG_SECONDS:
            return f"hung at the case {_told(prober.case)}"
    return None


def _told(case: MutableSequence[int]) -> tuple[int, list[int]]:
    """The number of a good file, and those of its edits."""
    return case[0], list(case[2 : 2 + case[1]])


def main() -> None:
    """Probe every parser for its share of the time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all parsers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the document, which is done anyway")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        targets = make_targets(Path(folder))
        for place, target in enumerate(targets.values()):
            number = arguments.seed * 10**9 + place * 10**7
            share = arguments.seconds / len(targets)
            rows.append(run(target, share, number=number))
            print(rows[-1], file=sys.stderr, flush=True)
    summary = {
        "seconds": arguments.seconds,
        "cases": sum(row["cases"] for row in rows),
        "accepted": sum(row["accepted"] for row in rows),
        "findings": sum(len(row["findings"]) for row in rows),
        "slowest_s": max(row["slowest_s"] for row in rows),
        "peak_mb": max(row["peak_mb"] for row in rows),
    }
    command = f"python -m benchmarks.fuzz --seconds {arguments.seconds:g} --seed {arguments.seed} --json"
    made = document(command, rows, summary)
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))
    sys.exit(1 if summary["findings"] else 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
