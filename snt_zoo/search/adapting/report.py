"""The report of a run: as JSON for programs, as one HTML file for people.

The page needs no network and no scripts. Names of classes and sources come from outside: the templates
escape whatever they are given.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from markupsafe import Markup

from snt_zoo.search.adapting.drawing import STAGES, TEMPLATES, draw_genotype, draw_history, stage_colour
from snt_zoo.version import __version__

if TYPE_CHECKING:
    from snt_zoo.search.adapting.finetune import FinetuneResult
    from snt_zoo.search.run import EpochRecord

_STEPS = {
    "supernet": "adapted supernet, along the path of its genotype",
    "inherited": "derived network with the supernet's weights",
    "recalibrated": "batch norms measured again",
    "finetuned": "trained for the rest of the budget",
}
_OUT = {
    "heat": "behind on a few images",
    "rung 0": "behind with a new head",
    "rung 1": "behind after some training",
    "slow": "too slow to be trained in this budget",
    "generalist": "not clearly ahead of a generalist",
    "time": "no time for it",
    "limits": "no network of its space is within the limits",
    "diverged": "its training diverged",
}
_RUNGS = {"heat": "on a few images", "head": "new head", "training": "after some training"}
DERIVED = "derived"
"""Folder within a model's folder: the network of the search, where the probe's is handed back."""
_FOLDED = 60  # a list with more entries is folded up


def report_json(result: FinetuneResult, *, out: str | Path | None = None) -> dict[str, Any]:
    """What `snt-zoo finetune --json` prints.

    Args:
        result: of the run.
        out: where the model was saved.

    Returns:
        Plain data. Accuracies are from 0 to 1, times in seconds, `date` is UTC in ISO 8601.
    """
    return {
        "from": result.source,
        "returned": result.returned,
        "genotype": result.genotype.to_json(),
        "accuracy": dict(result.accuracy),
        "params": result.params,
        "macs": result.macs,
        "history": [asdict(record) for record in result.history],
        "seconds": result.seconds,
        "out": None if out is None else str(out),
        "steps": dict(result.steps),
        "search": dict(result.search),
        "warnings": list(result.warnings),
        "probe": None if result.probe is None else dict(result.probe),
        "ensemble": None if result.ensemble is None else dict(result.ensemble),
        "race": [dict(row) for row in result.race],
        "derived": None if result.derived is None else _kept(result.derived, out),
        "class_names": list(result.class_names),
        "settings": dict(result.settings),
        "micro_batch": {record.stage: record.micro_batch for record in result.history},
        "versions": _versions(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _kept(derived: FinetuneResult, out: str | Path | None) -> dict[str, Any]:
    """The network of the search, where another one is handed back."""
    return {
        "genotype": derived.genotype.to_json(),
        "accuracy": dict(derived.accuracy),
        "params": derived.params,
        "macs": derived.macs,
        "out": None if out is None else str(Path(out) / DERIVED),
    }


def report_html(
    result: FinetuneResult,
    *,
    out: str | Path | None = None,
    others: Mapping[str, Sequence[EpochRecord]] | None = None,
) -> str:
    """The report as one self-contained HTML page.

    Args:
        result: of the run.
        out: where the model was saved, for the lines that load it.
        others: histories of runs to compare with, by name.

    Example:
        >>> Path("report.html").write_text(report_html(result))  # doctest: +SKIP
    """
    folder = "path/to/this/folder" if out is None else str(out)
    return TEMPLATES.get_template("report.html.j2").render(
        result=result,
        python_folder=repr(folder),
        shell_folder=shlex.quote(folder),
        tiles=[
            ("test accuracy", _percent(result.accuracy["test"])),
            ("validation accuracy", _percent(result.accuracy["val"])),
            ("parameters", f"{result.params:,}"),
            ("multiply-accumulates per image", f"{result.macs:,}"),
        ],
        probe=None if result.probe is None else _percent(result.probe["val_accuracy"]),
        derived=None
        if result.derived is None
        else {
            "val": _percent(result.derived.accuracy["val"]),
            "test": _percent(result.derived.accuracy["test"]),
            "params": f"{result.derived.params:,}",
            "macs": f"{result.derived.macs:,}",
        },
        # Both are made by templates that escape: they go in as they are.
        curve=Markup(draw_history(result.history, others=others)),
        cells=Markup(draw_genotype(result.genotype)),
        rungs=[
            (name, title)
            for name, title in _RUNGS.items()
            if any(rung["rung"] == name for row in result.race for rung in row["rungs"])
        ],
        race=[
            (
                row["id"],
                {
                    rung["rung"]: f"{_percent(rung['val_accuracy'])} in {rung['seconds']:.1f} s"
                    for rung in row["rungs"]
                },
                "won" if row["won"] else _OUT.get(row["out"], row["out"]),
            )
            for row in result.race
        ],
        steps=[
            (name, _STEPS.get(name, ""), _percent(accuracy), accuracy)
            for name, accuracy in result.steps.items()
        ],
        history=[(r, STAGES.get(r.stage, (r.stage,))[0], stage_colour(r.stage)) for r in result.history],
        settings=_flat(result.settings),
        search=_flat(result.search),
        versions=_versions(),
        date=datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"),
        folded=_FOLDED,
    )


def _versions() -> dict[str, str]:
    return {
        "snt-zoo": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one table: `budget.seconds`."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            rows[f"{prefix}{key}"] = _plain(value)
    return rows


def _plain(value: Any) -> str:
    """A value for people: a list as its entries, each as `key value` pairs if it has parts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "; ".join(_plain(entry) for entry in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(entry)}" for key, entry in value.items())
    return str(value)
