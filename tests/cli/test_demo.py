"""`snt-zoo demo`: how it shows both runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke


def test_demo_prints_both_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    history = [{"seconds": 2.0, "val_accuracy": 0.125}, {"seconds": 9.0, "val_accuracy": 0.5}]
    run = {"accuracy": {"val": 0.5, "test": 0.25}, "params": 10, "seconds": 9.0, "history": history}
    document = {
        "query": {
            "matches": [],
            "close": None,
            "seconds": {"sketch": 0.1},
            "ranked_by": {"distance": "class-ot", "level": "class"},
            "probe": None,
        },
        "left_out": ["digits-1"],
        "transferred": run,
        "scratch": run,
        "scratch_accuracy_reached_after_seconds": None,
        "report": "demo/report.html",
    }

    class Done:
        def to_json(self) -> Any:
            return document

    monkeypatch.setattr("snt_zoo.workflows.demo.run_demo", lambda *args, **kwargs: Done())
    args = ("demo", "--home", tmp_path / "home", "--budget", "3s")
    assert answer(*args) == document
    shown = invoke(*args).stdout
    for text in ("digits-1", "25.0 %", "12.5", "50.0", "not reached", "demo/report.html"):
        assert text in shown
