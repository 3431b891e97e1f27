"""`snt-zoo outcomes`: what finetunings on this machine came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import fields, percent, prints, say, table
from snt_zoo.cli.parameters import home_option


def _show(document: Mapping[str, Any]) -> None:
    if document["removed"] is not None:
        fields({"removed": f"{document['removed']:,} outcomes"})
        return
    columns = [("date", False), ("dataset", False), ("supernet", False), ("training", True)]
    columns += [("accuracy", True), ("expected", True)]
    rows = [
        (
            row["date"][:16].replace("T", " "),
            row["target"],
            row["bundle"],
            f"{row['budget']:g} s" if row["method"] == "finetune" else "new head",
            percent(row["test"] if row["test"] is not None else row["val"]),
            percent(row["expected"]),
        )
        for row in document["outcomes"]
    ]
    if rows:
        table(columns, rows, keep=3)
    else:
        say("There are none yet: each `snt-zoo finetune` adds its own.")
    if not document["used"]:
        say("SNT_ZOO_OUTCOMES=0 is set: none is used, and none is written.")


@click.command("outcomes")
@click.option("--forget", is_flag=True, help="Delete them all.")
@home_option
@prints(_show)
def outcomes_command(forget: bool, home: Path | None) -> dict[str, Any]:
    """Show what finetunings on this machine came to.

    Predictions learn from it. Each finetuning adds its own, and the heads of its race. The file stays on
    this machine; with SNT_ZOO_OUTCOMES=0 nothing is written, and nothing that was written is used.

    \b
    Example:
      snt-zoo outcomes
      snt-zoo outcomes --forget
    """
    from snt_zoo.registry.own_outcomes import forget_outcomes, read_all, wanted
    from snt_zoo.registry.registry import Registry

    place = Registry.place(home)
    removed = forget_outcomes(place) if forget else None
    return {"outcomes": read_all(place), "used": wanted(), "removed": removed}
