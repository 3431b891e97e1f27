"""The report of a run for people: one HTML page, made from what `FinetuneResult.to_json` gives.

The page needs no network and no scripts. Names of classes and sources come from outside: the templates
escape whatever they are given.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.drawing import (
    STAGES,
    TEMPLATES,
    draw_front,
    draw_genotype,
    draw_history,
    stage_colour,
)
from snt_zoo.search.run import EpochRecord

_STEPS = {
    "supernet": "adapted supernet, along the path of its genotype",
    "inherited": "derived network with the supernet's weights",
    "recalibrated": "batch norms measured again",
    "finetuned": "trained for the rest of the budget",
}
_OUT = {
    "behind": "behind with a new head",
    "diverged": "its weights overflow: what it computes are not numbers",
    "slow": "too slow: it would see the training images too few times",
    "narrower": "not clearly ahead of a supernet that was trained on more datasets",
    "time": "no time for it",
    "limits": "no network of its space is within the limits",
}
_FOLDED = 60  # a list with more entries is folded up


def report_html(
    document: Mapping[str, Any], *, others: Mapping[str, Sequence[EpochRecord]] | None = None
) -> str:
    """The report as one self-contained HTML page.

    Args:
        document: what `FinetuneResult.to_json` gives.
        others: histories of runs to compare with, by name.

    Example:
        >>> Path("report.html").write_text(report_html(result.to_json()))  # doctest: +SKIP
    """
    folder = document["out"] or "path/to/this/folder"
    history = [EpochRecord(**record) for record in document["history"]]
    genotype = Genotype.from_json(document["genotype"])
    return TEMPLATES.get_template("report.html.j2").render(
        **document,
        source=document["from"],
        python_folder=repr(folder),
        shell_folder=shlex.quote(folder),
        tiles=[
            ("test accuracy", _percent(document["accuracy"]["test"])),
            ("validation accuracy", _percent(document["accuracy"]["val"])),
            ("parameters", f"{document['params']:,}"),
            ("multiply-accumulates per image", f"{document['macs']:,}"),
        ],
        percent=_percent,
        # Both are made by templates that escape: they go in as they are.
        curve=Markup(draw_history(history, others=others)),
        cells=Markup(draw_genotype(genotype)),
        front="" if document["pareto"] is None else Markup(draw_front(document["pareto"])),
        timed=any(each["latency"] for each in (document["pareto"] or {}).get("networks", [])),
        architecture=str(genotype),
        out_of_race=_OUT,
        meanings=_STEPS,
        records=[(r, STAGES.get(r.stage, (r.stage,))[0], stage_colour(r.stage)) for r in history],
        asked=_flat(document["settings"]),
        found=_flat(document["search"]),
        day=datetime.fromisoformat(document["date"]).strftime("%d %B %Y, %H:%M UTC"),
        folded=_FOLDED,
    )


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
