"""`snt-zoo encoder`: what the predictor of accuracy is, learns from, and comes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import fields, prints
from snt_zoo.cli.parameters import home_option
from snt_zoo.cli.progress import waiting


@click.group("encoder")
def encoder_command() -> None:
    """Measure, train and look at the predictor of accuracy.

    \b
    Example:
      snt-zoo encoder measure photos/ --out outcomes.jsonl
      snt-zoo encoder train photos/ --outcomes outcomes.jsonl --out predictor.safetensors
      snt-zoo encoder show
    """


def _show_measured(document: Mapping[str, Any]) -> None:
    fields({"measured": f"{document['cells']:,} pairs of a dataset and a network", "file": document["out"]})


@encoder_command.command("measure")
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to append to."
)
@click.option(
    "--networks",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Networks of each supernet: its own, the cheapest, the dearest, then random ones.",
)
@click.option("--budget", type=float, default=0.0, help="Seconds of finetuning each; without it heads alone.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@home_option
@prints(_show_measured)
def measure_command(
    datasets: tuple[str, ...], out: Path, networks: int, budget: float, workers: int, home: Path | None
) -> dict[str, Any]:
    """Fit heads of every supernet to datasets, and append what they come to.

    What stands in the file is not measured again, so the command can be stopped and started again.

    \b
    Example:
      snt-zoo encoder measure photos/ icons/ --out outcomes.jsonl --workers 2
    """
    with waiting("opening the registry") as tell:
        from snt_zoo import Zoo
        from snt_zoo.networks.variants import random_kinds
        from snt_zoo.workflows.measure import Plan, measure

        registry = Zoo.open(home).registry
        ids = [record.id for record in registry.list()]
        plan = Plan(datasets, ids, random_kinds(networks), budget=budget)
        cells = measure(
            registry,
            [plan],
            out,
            workers=workers,
            on_cells=lambda done, total: tell(f"measured {done} of {total} pairs"),
        )
    return {"cells": cells, "out": out}
