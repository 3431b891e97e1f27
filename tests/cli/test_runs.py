"""No run writes over another."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from snt_zoo.cli.output import RESUME
from snt_zoo.cli.runs import run_folder
from snt_zoo.errors import ModelFolderError, ResumeError


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
