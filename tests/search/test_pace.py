"""The pace of steps, by a clock that is set."""

from __future__ import annotations

import pytest

from snt_zoo.search.pace import STEPS, Pace


def test_slowness_is_that_of_most_steps_lately_and_never_below_1() -> None:
    now = 0.0
    pace = Pace(lambda: now)

    def step(seconds: float, times: int = 1) -> None:
        nonlocal now
        for _ in range(times):
            pace.begin()
            now += seconds
            pace.end()

    pace.end()  # none has begun
    step(2.0, STEPS - 1)
    assert pace.slowdown == 1.0  # too few to tell
    step(2.0)
    step(90.0)  # one alone
    assert pace.slowdown == 1.0
    now += 1000.0  # between steps
    step(6.0, STEPS)
    assert pace.slowdown == pytest.approx(3.0)
    step(1.0, STEPS)
    assert pace.slowdown == 1.0
