"""The runs in a folder, as the files that a run writes tell of them.

While it goes on a run has a checkpoint, in whose header the history stands; when it has ended, a report. The
checkpoint's tensors are not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snt_zoo.errors import SntZooError
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.run import CHECKPOINT_SECONDS, EpochRecord
from snt_zoo.service.page.templating import spell

REPORT = "report.json"
_HEADER_LIMIT = 16 * 2**20  # bytes of a checkpoint's header
_REPORT_LIMIT = 64 * 2**20
_QUIET = 3 * CHECKPOINT_SECONDS  # without a checkpoint, after which a run is not said to go on
_MOST = 200  # runs that are listed, the newest

Phase = Literal["begins", "goes on", "quiet", "ended"]


@dataclass(frozen=True)
class RunView:
    """A run.

    Args:
        name: of its folder.
        phase: whether it goes on; `quiet` where nothing was written for a while: it was stopped, or one step
            takes long.
        stage: that it is in; empty before the first checkpoint.
        source: the supernet that it comes from; empty while that is not decided.
        history: a record for each epoch.
        seconds: that it has run, up to now if it goes on.
        left: seconds of the budget that are left; None where the budget is in epochs, or it has ended.
        budget: as was asked for.
        age: seconds since something was written.
        best: best accuracy on validation so far, from 0 to 1.
        test: accuracy of what was handed back on the test part; None before the end.
        returned: what was handed back; empty before the end.
        warnings: what the report warns of.
    """

    name: str
    phase: Phase
    stage: str
    source: str
    history: tuple[EpochRecord, ...]
    seconds: float
    left: float | None
    budget: str
    age: float
    best: float | None
    test: float | None = None
    returned: str = ""
    warnings: tuple[str, ...] = ()


def list_runs(folder: Path, *, now: float) -> tuple[RunView, ...]:
    """The runs in the folders of a folder, the last written first.

    Args:
        folder: that holds them.
        now: seconds since the epoch.
    """
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and _shown(path)]
    except OSError:
        return ()
    found = (read_run(path, now=now) for path in inside)
    runs = sorted((run for run in found if run is not None), key=lambda run: run.age)
    return tuple(runs[:_MOST])


def _shown(folder: Path) -> bool:
    """Whether a folder may be a run's: a pretraining to `NAME` goes on in `.NAME.run` beside it."""
    return not folder.name.startswith(".") or folder.suffix == ".run"


def _name(folder: Path) -> str:
    hidden = folder.name.startswith(".")
    return folder.name[1:].removesuffix(".run") if hidden else folder.name


def read_run(folder: Path, *, now: float) -> RunView | None:
    """What the files in a folder tell of a run; None if it holds none, or none that can be read."""
    try:
        if (folder / REPORT).is_file():
            return _ended(folder, now)
        if (folder / CHECKPOINT).is_file():
            return _going_on(folder, now)
        if not any(folder.iterdir()):
            age = max(now - folder.stat().st_mtime, 0.0)
            return RunView(_name(folder), "begins", "", "", (), age, None, "", age, None)
    except (SntZooError, OSError, ValueError, TypeError, LookupError):
        return None  # it is written just now, or by another snt-zoo
    return None


def _going_on(folder: Path, now: float) -> RunView:
    path = folder / CHECKPOINT
    with path.open("rb") as file:
        status = path.stat()
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER_LIMIT:
            raise ValueError
        raw = file.read(length)
    header = json.loads(raw)
    meta = json.loads(json.loads(header["__metadata__"]["run"])["run"])
    age = max(now - status.st_mtime, 0.0)
    quiet = age > _QUIET
    history = tuple(EpochRecord(**record) for record in meta["history"])
    budget = meta["settings"]["budget"]
    seconds = float(meta["elapsed"]) + (0.0 if quiet else age)
    begun = meta["facts"].get("begun") or {}
    return RunView(
        name=_name(folder),
        phase="quiet" if quiet else "goes on",
        stage=str(meta["stage"]).removeprefix("after "),
        source=str(begun.get("source", "")),
        history=history,
        seconds=seconds,
        left=None if budget["seconds"] is None else max(budget["seconds"] - seconds, 0.0),
        budget=_budget(budget),
        age=age,
        best=_best(history),
    )


def _ended(folder: Path, now: float) -> RunView:
    path = folder / REPORT
    with path.open("rb") as file:
        document = parse_json(file.read(_REPORT_LIMIT + 1), what=REPORT, limit=_REPORT_LIMIT)
    return RunView(
        name=_name(folder),
        phase="ended",
        stage="",
        source=document["from"],
        history=tuple(EpochRecord(**record) for record in document["history"]),
        seconds=float(document["seconds"]),
        left=None,
        budget=_budget(document["settings"].get("budget") or {}),
        age=max(now - path.stat().st_mtime, 0.0),
        best=float(document["accuracy"]["val"]),
        test=float(document["accuracy"]["test"]),
        returned=document["returned"],
        warnings=tuple(document["warnings"]),
    )


def _budget(asked: Mapping[str, Any]) -> str:
    if asked.get("seconds") is not None:
        return spell(asked["seconds"])
    return f"{asked['epochs']} epochs" if asked.get("epochs") is not None else ""


def _best(history: tuple[EpochRecord, ...]) -> float | None:
    return max((record.val_accuracy for record in history), default=None)
