"""No run writes over another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from snt_zoo.cli.output import RESUME
from snt_zoo.cli.runs import run_folder
from snt_zoo.errors import ModelFolderError, ResumeError
from snt_zoo.search.checkpoint import CHECKPOINT, load_checkpoint


def run(
    out: Path | None = None, name: str = "photos", *, resume: bool = False, write: str = ""
) -> tuple[Path, str]:
    """The folder that a run got, and how it would go on after an interrupt."""
    with click.Context(click.Command("x")) as context, run_folder(out, name, resume=resume) as folder:
        if write:
            (folder / write).parent.mkdir(parents=True, exist_ok=True)
            (folder / write).write_text("x")
        hint: str = context.meta[RESUME]()
    return folder, hint


def test_every_run_gets_a_folder_of_its_own() -> None:
    folders = [run(write="report.json")[0] for _ in range(3)]
    assert folders == [Path("runs/photos-1"), Path("runs/photos-2"), Path("runs/photos-3")]


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert not run()[0].exists()
    kept = tmp_path / "mine"
    kept.mkdir()
    run(kept)
    assert kept.is_dir()


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "..", "x\ny", "ü" * 300])
def test_a_dataset_s_name_does_not_lead_out_of_the_folder(name: str) -> None:
    assert run(name=name, write="report.json")[0].parent == Path("runs")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder, _ = run(tmp_path / "out", write="model.safetensors")
    with pytest.raises(ModelFolderError, match="choose another --out"):
        run(folder)
    with pytest.raises(ModelFolderError, match="choose another --out"):
        run(folder / "model.safetensors" / "below")


@pytest.mark.parametrize("place", ["checkpoint.safetensors", "../.{}.run/checkpoint.safetensors"])
def test_an_interrupted_run_goes_on_and_no_other_takes_its_folder(place: str) -> None:
    interrupted, hint = run(write=place.format("photos-1"))
    assert hint == f"the same command and --resume --out {interrupted}"
    with pytest.raises(ModelFolderError, match="--resume"):
        run(interrupted)
    assert run(write="report.json")[0] == Path("runs/photos-2")
    assert run(resume=True)[0] == interrupted
    assert run(interrupted, resume=True)[0] == interrupted


def test_a_finished_run_is_not_one_to_go_on_with() -> None:
    folder, _ = run(write="checkpoint.safetensors")
    (folder / "report.json").write_text("{}")
    with pytest.raises(ResumeError, match="--out"):
        run(resume=True)


def test_what_a_killed_writer_left_does_not_block_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".checkpoint.safetensors.partial").write_bytes(b"half")
    assert run(out)[0] == out


ROOT = Path(__file__).parents[2]

SLOW = """
import runpy, time
from snt_zoo.search.learners import WeightLearner
def step(*args):
    print("in a step", flush=True)
    for _ in range(1200):
        time.sleep(0.05)
WeightLearner.step = step
runpy.run_module("tests.cli.unseeded", run_name="__main__")
"""


def hear_ctrl_c() -> None:
    """In a child: heed SIGINT, which is ignored in what a shell starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*args: object, program: tuple[str, ...] = ("-m", "tests.cli.unseeded")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=hear_ctrl_c,
    )


def wait_for(child: subprocess.Popen[str], word: str) -> None:
    """Read stderr until a line begins with a word."""
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(word):
            return
    raise AssertionError(f"ended before {word!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_leaves_a_run_that_goes_on(
    number: signal.Signals, photos: Path, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a model"
    args = ("finetune", photos, "--from", "tiny", "--home", home, "--epochs", 2, "--no-floor", "--json")
    with start(*args, "--out", out) as child:
        wait_for(child, "search")
        child.send_signal(number)
        stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert stdout == ""
    assert [line for line in stderr.splitlines() if not line.startswith("search ")] == [
        f"error: interrupted; go on with the same command and --resume --out '{out}'"
    ]
    _, meta = load_checkpoint(out)
    assert meta["stage"] == "search" and 1 <= meta["state"]["done"] < 2

    if number == signal.SIGINT:
        other = tmp_path / "other"
        with start(*args, "--out", other) as whole, start(*args, "--out", out, "--resume") as resumed:
            documents: list[Any] = [
                json.loads(child.communicate(timeout=120)[0]) for child in (whole, resumed)
            ]
        for key in ("accuracy", "genotype", "steps"):
            assert documents[0][key] == documents[1][key]
        losses = [[(r["epoch"], r["loss"]) for r in document["history"]] for document in documents]
        assert losses[0] == losses[1]
        assert not (out / CHECKPOINT).exists()


def test_a_second_ctrl_c_aborts_at_once(photos: Path, home: Path, tmp_path: Path) -> None:
    # A step of a minute: the first signal waits for it, the second does not.
    out = tmp_path / "out"
    args = ("finetune", photos, "--from", "tiny", "--home", home, "--epochs", 2, "--no-floor", "--out", out)
    with start(*args, program=("-c", SLOW)) as child:
        wait_for(child, "in a step")  # stdout goes to stderr while a command runs
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=20)
    assert child.returncode == 130
    assert stderr.splitlines()[-1].startswith("error: interrupted")
    assert load_checkpoint(out)[1]["stage"] == "after head"  # what was there stays


def test_two_processes_answer_once(photos: Path, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    args = ("finetune", photos, "--from", "tiny", "--home", home, "--epochs", 1, "--no-floor", "--json")
    command = [*launcher, "-m", "tests.cli.unseeded", *map(str, args), "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", out], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["out"] == str(out)
    lines = [line.split()[0] for line in done.stderr.splitlines()]
    assert [word for word in lines if word in ("head", "search", "derived")] == ["head", "search", "derived"]
    assert lines.count("writing") == 1
    assert json.loads((out / "report.json").read_text())["accuracy"] == document["accuracy"]
    assert not (out / CHECKPOINT).exists()
