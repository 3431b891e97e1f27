"""The folder of a run: a new one for each, never one that is in use."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from snt_zoo.cli.output import RESUME
from snt_zoo.errors import ModelFolderError, ResumeError

RUNS = Path("runs")
_CHECKPOINT = "checkpoint.safetensors"
_PARTIAL = ".checkpoint.safetensors.partial"  # of a process that was killed while it wrote its first one
_FINISHED = ("report.json", "manifest.json")  # of a finetuned model, of a bundle


@contextlib.contextmanager
def run_folder(out: Path | None, name: str, *, resume: bool = False) -> Iterator[Path]:
    """The folder that a run shall write, which is empty, or holds the run that goes on.

    By default it is `runs/NAME-1`, or the next number that is free; to resume, the last that was
    interrupted. A folder that was made here is removed in the end if nothing was written into it.

    Args:
        out: what the user asked for.
        name: of the run.
        resume: whether a run goes on.

    Raises:
        ModelFolderError: the folder is in use.
        ResumeError: there is no run to go on with.
    """
    from snt_zoo.search.interruption import terminating

    with terminating(), _team() as (first, tell):
        made = False
        # The first of several processes finds the folder, and tells it to the others.
        folder = Path() if out is None else out
        if first and resume:
            folder = _last_interrupted(_slug(name)) if out is None else out
        elif first and out is None:
            folder, made = _claim(_slug(name)), True
        elif first and out is not None:
            folder, made = out, _make_unused(out)
        folder = Path(tell(str(folder)))
        click.get_current_context().meta[RESUME] = lambda: (
            f"the same command and --resume --out {shlex.quote(str(folder))}"
            if is_interrupted(folder)
            else ""
        )
        try:
            yield folder
        finally:
            if made:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # fails unless it is empty


@contextlib.contextmanager
def _team() -> Iterator[tuple[bool, Callable[[str], str]]]:
    """Join the processes of `torchrun`, if it started several; torch is not imported for one."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield True, str
        return
    from snt_zoo.networks.distributed import joined

    with joined() as team:
        yield team.first, team.tell


def is_interrupted(folder: Path) -> bool:
    """Whether a run wrote a checkpoint there (a bundle's lies beside it), but did not finish."""
    places = (folder, folder.parent / f".{folder.name}.run")
    return any((place / _CHECKPOINT).is_file() for place in places) and not any(
        (folder / name).is_file() for name in _FINISHED
    )


def _make_unused(folder: Path) -> bool:
    """Make a folder now, as a run would find out only at its end; false if it was there, empty."""
    if is_interrupted(folder):
        raise ModelFolderError(
            f"{folder} holds an interrupted run: go on with --resume, or choose another --out"
        )
    try:
        if folder.exists():
            if not folder.is_dir() or not _is_empty(folder) or not os.access(folder, os.W_OK):
                raise ModelFolderError(f"{folder} is in use or read-only: choose another --out")
            return False
        folder.mkdir(parents=True)
    except OSError as error:
        raise ModelFolderError(
            f"cannot make the folder {folder} ({error.strerror}): choose another --out"
        ) from error
    return True


def _is_empty(folder: Path) -> bool:
    return all(path.name == _PARTIAL for path in folder.iterdir())


def _claim(name: str) -> Path:
    try:
        for number in itertools.count(1):
            folder = RUNS / f"{name}-{number}"
            if not is_interrupted(folder):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir(parents=True)
                    return folder
    except OSError as error:
        raise ModelFolderError(
            f"cannot make a folder in {RUNS} ({error.strerror}): choose one with --out"
        ) from error
    raise AssertionError("unreachable")


def _last_interrupted(name: str) -> Path:
    numbers = (
        int(found[1])
        for path in (RUNS.iterdir() if RUNS.is_dir() else ())
        if (found := re.fullmatch(rf"\.?{re.escape(name)}-(\d{{1,9}})(?:\.run)?", path.name))
    )
    for number in sorted(numbers, reverse=True):
        folder = RUNS / f"{name}-{number}"
        if is_interrupted(folder):
            return folder
    raise ResumeError(
        f"no interrupted run {RUNS / name}-N to go on with: name its folder with --out, or leave out --resume"
    )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:64] or "run"
