"""Runs are read from the files that a run writes, while it writes them, and nothing spoilt stops the page."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.run import Run, RunOptions
from snt_zoo.service.page.runs import REPORT, list_runs, read_run
from snt_zoo.service.page.site import sentence_of


@pytest.fixture
def begun(tmp_path: Path, few_digits: ImageDataset) -> Path:
    """The folder of a run with two epochs and a budget of ten minutes, as it writes it itself."""
    folder = tmp_path / "runs" / "digits-1"
    options = RunOptions(Budget(seconds=600.0), folder=folder, spent=30.0)
    run = Run(options, settings={"source": "auto"}, val=few_digits.val)
    run.record("head", 0.5)
    run.record("search", 0.75, loss=1.25)
    run.save("search", {}, {})
    return folder


def test_a_run_that_goes_on_tells_its_history_and_the_time_left(begun: Path) -> None:
    written = (begun / CHECKPOINT).stat().st_mtime
    run = read_run(begun, now=written + 10)
    assert run is not None
    assert (run.phase, run.stage, run.name, run.best, run.budget) == (
        "goes on",
        "search",
        "digits-1",
        0.75,
        "10 min",
    )
    assert [(r.stage, r.val_accuracy, r.loss) for r in run.history] == [
        ("head", 0.5, None),
        ("search", 0.75, 1.25),
    ]
    assert 40 <= run.seconds < 60
    assert run.left == pytest.approx(600 - run.seconds)
    assert "goes on (supernet)" in sentence_of(run)


def test_one_that_writes_nothing_for_long_is_not_said_to_go_on(begun: Path) -> None:
    run = read_run(begun, now=(begun / CHECKPOINT).stat().st_mtime + 1000)
    assert run is not None
    assert run.phase == "quiet"
    assert run.seconds < 60  # as of the checkpoint
    assert "--resume" in sentence_of(run)


def test_one_that_has_ended_tells_what_came_of_it(begun: Path) -> None:
    report = {
        "from": "net-1",
        "history": [{"stage": "derived", "epoch": 0, "seconds": 5.0, "val_accuracy": 0.5}],
        "seconds": 6.0,
        "accuracy": {"val": 0.5, "test": 0.4},
        "returned": "probe",
        "settings": {"budget": {"seconds": None, "epochs": 3}},
        "warnings": ["beware"],
    }
    (begun / REPORT).write_text(json.dumps(report))
    run = read_run(begun, now=(begun / REPORT).stat().st_mtime)
    assert run is not None
    assert (run.phase, run.test, run.returned, run.budget, run.warnings) == (
        "ended",
        0.4,
        "probe",
        "3 epochs",
        ("beware",),
    )
    assert "linear probe" in sentence_of(run)


def test_an_empty_folder_is_a_run_that_begins(tmp_path: Path) -> None:
    run = read_run(tmp_path, now=tmp_path.stat().st_mtime + 2)
    assert run is not None
    assert run.phase == "begins"
    assert "begins" in sentence_of(run)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x04\x00\x00\x00\x00\x00\x00\x00null", b"\x02" + b"\x00" * 7 + b"{}"]
)
def test_what_is_spoilt_is_no_run(begun: Path, content: bytes) -> None:
    (begun / CHECKPOINT).write_bytes(content)
    assert read_run(begun, now=0.0) is None
    (begun / REPORT).write_bytes(content)
    assert read_run(begun, now=0.0) is None


def test_a_pretraining_is_told_by_the_name_of_what_it_makes(begun: Path) -> None:
    begun.rename(begun.with_name(".my-net.run"))
    begun.with_name(".git").mkdir()
    (run,) = list_runs(begun.parent, now=0.0)
    assert run.name == "my-net"


def test_runs_are_listed_the_last_written_first(begun: Path) -> None:
    older = begun.with_name("older")
    older.mkdir()
    (older / CHECKPOINT).write_bytes((begun / CHECKPOINT).read_bytes())
    os.utime(older / CHECKPOINT, (1_000_000, 1_000_000))
    begun.with_name("notes").mkdir()
    (begun.with_name("notes") / "x.txt").touch()
    now = (begun / CHECKPOINT).stat().st_mtime
    assert [run.name for run in list_runs(begun.parent, now=now)] == ["digits-1", "older"]
    assert list_runs(begun / "nothing", now=now) == ()
