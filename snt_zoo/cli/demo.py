"""`snt-zoo demo`: the main job, from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.output import Names, fields, note, percent, prints
from snt_zoo.cli.parameters import FOLDER, Home, device_option, duration, home_option, seed_option
from snt_zoo.cli.progress import epoch_line, waiting
from snt_zoo.cli.query import show_matches
from snt_zoo.cli.runs import run_folder

if TYPE_CHECKING:
    from snt_zoo.search.run import EpochRecord


def _show(document: Mapping[str, Any]) -> None:
    show_matches(document["query"])
    click.echo()
    _show_curves(document["transferred"]["history"], document["scratch"]["history"])
    click.echo()
    reached = document["scratch_accuracy_reached_after_seconds"]
    fields(
        {
            "from the zoo": _summary(document["transferred"]),
            "from scratch": _summary(document["scratch"]),
            "as good as scratch": "not reached" if reached is None else f"after {reached:.1f} s from the zoo",
            "left out": Names(document["left_out"], "supernets that show digits"),
            "report": document["report"],
        }
    )


def _show_curves(transferred: list[Mapping[str, Any]], scratch: list[Mapping[str, Any]]) -> None:
    """Best validation accuracy so far of both runs, at ten moments."""
    end = max(record["seconds"] for record in (*transferred, *scratch))
    moments = [end * tenth / 10 for tenth in range(1, 11)]
    click.echo("best validation accuracy so far, in %")
    rows = {"after seconds": [f"{moment:.0f}" for moment in moments]}
    for name, history in (("from the zoo", transferred), ("from scratch", scratch)):
        best = [
            max((r["val_accuracy"] for r in history if r["seconds"] <= moment), default=None)
            for moment in moments
        ]
        rows[name] = ["-" if value is None else f"{100 * value:.1f}" for value in best]
    for name, cells in rows.items():
        click.echo(f"  {name:13}" + "".join(f"{cell:>6}" for cell in cells))


def _summary(run: Mapping[str, Any]) -> str:
    accuracy = run["accuracy"]
    return (
        f"test {percent(accuracy['test'])}, validation {percent(accuracy['val'])}, "
        f"{run['params']:,} parameters, {run['seconds']:.1f} s"
    )


def _tell_epoch(record: EpochRecord) -> None:
    click.echo(epoch_line(record), err=True)


@click.command("demo")
@click.option("--budget", type=duration, default="60s", show_default=True, help="Time for each of two runs.")
@seed_option
@click.option("--out", type=FOLDER, help="Where the models go.  [default: runs/demo-N]")
@device_option
@home_option
@prints(_show)
def demo_command(budget: str, seed: int, out: Path | None, device: str, home: Home) -> dict[str, Any]:
    """Show the main job on handwritten digits.

    The digits ship with scikit-learn. Supernets that were trained on digits are left out. The best of the
    others race, the winner is finetuned, and for the same time a network is searched from scratch. Needs
    no network and no data of yours.

    \b
    Example:
      snt-zoo demo --budget 60s --out demo/
    """
    with run_folder(out, "demo") as folder:
        with waiting("opening the registry"):
            from snt_zoo import Zoo
            from snt_zoo.workflows.demo import run_demo

            zoo = Zoo.open(home)
        return run_demo(
            zoo,
            out=folder,
            budget=budget,
            seed=seed,
            device=device,
            on_stage=note,
            on_epoch=_tell_epoch,
        ).to_json()
