"""The picture of the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.glance import curves, draw
from benchmarks.transfer_plan import TARGETS


def rows(reached: float) -> list[dict[str, object]]:
    """On every target a search that has 0.8 after 40 s, and a transfer that has it sooner."""
    times = {"scratch": 40.0, "auto": reached}
    return [
        {
            "part": "main",
            "target": target,
            "arm": arm,
            "budget": 60.0,
            "from": "a",
            "curve": [["derived", seconds, 0.8, None]],
        }
        for target in TARGETS
        for arm, seconds in times.items()
    ]


def test_a_curve_is_the_mean_over_the_targets() -> None:
    made = rows(10.0)
    made[1]["curve"] = [["derived", 10.0, 0.2, None]]  # on the first target
    found = curves(made, [0.0, 10.0, 40.0])
    assert found["scratch"] == [0.0, 0.0, pytest.approx(0.8)]
    assert found["auto"][1] == pytest.approx(0.8 - 0.6 / len(TARGETS))
    assert "mobilenet" not in found


def test_the_picture_says_when_the_transfer_is_there(tmp_path: Path) -> None:
    draw(rows(10.0), tmp_path / "a.svg")
    draw(rows(10.0), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "snt-zoo has after 10 s" in (tmp_path / "a.svg").read_text(encoding="utf-8")
