"""Times are those of what is run."""

from __future__ import annotations

import gc
import time

from snt_zoo.networks.latency.timing import timed


def test_percentiles_are_of_the_runs() -> None:
    calls = []

    def run() -> None:
        calls.append(0)
        time.sleep(0.02 if len(calls) % 10 == 0 else 0.002)

    found = timed(run, seconds=0.4)
    assert found.runs >= 20
    assert found.runs < len(calls)  # it was warmed up
    assert 0.002 <= found.p50 < 0.02 <= found.p99
    assert found.p50 <= found.p90 <= found.p99
    assert found.processor < found.p50  # it slept
    assert gc.isenabled()
    assert set(found.to_json()) == {"runs", "p50", "p90", "p99", "processor"}


def test_what_is_slow_is_run_twenty_times() -> None:
    assert timed(lambda: time.sleep(0.001), seconds=0.0).runs == 20
