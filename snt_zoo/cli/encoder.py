"""`snt-zoo encoder`: what the predictor of accuracy is, learns from, and comes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import fields, percent, prints
from snt_zoo.cli.parameters import executor_options, home_option, seed_option
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
@executor_options
@home_option
@prints(_show_measured)
def measure_command(
    datasets: tuple[str, ...],
    out: Path,
    networks: int,
    budget: float,
    workers: int,
    on: str,
    home: Path | None,
) -> dict[str, Any]:
    """Fit heads of every supernet to datasets.

    What they come to is appended to a file. What stands there is not measured again, so the command can be
    stopped and started again.

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
            on=on,
            on_cells=lambda done, total: tell(f"measured {done} of {total} pairs"),
        )
    return {"cells": cells, "out": out}


def _show_trained(document: Mapping[str, Any]) -> None:
    fields(
        {
            "predictor": document["out"],
            "datasets": f"{len(document['datasets']):,} of {document['parents']:,} parents",
            "supernets": f"{len(document['supernets']):,}",
            "outcomes": f"{document['outcomes']:,}",
        }
    )


@encoder_command.command("train")
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@click.option(
    "--outcomes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="File that `measure` appended to.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: the registry's own]")
@seed_option
@home_option
@prints(_show_trained)
def train_command(
    datasets: tuple[str, ...], outcomes: Path, out: Path | None, seed: int, home: Path | None
) -> dict[str, Any]:
    """Train a predictor of accuracy from outcomes on these datasets.

    Queries of the registry use it from then on, in the place of the one that ships. Its intervals need
    nine datasets or more.

    \b
    Example:
      snt-zoo encoder train photos/ icons/ --outcomes outcomes.jsonl
    """
    with waiting("opening the registry") as tell:
        from snt_zoo import Zoo
        from snt_zoo.registry.predicting import own_predictor
        from snt_zoo.workflows.train_predictor import read_file, save_predictor, train_predictor

        registry = Zoo.open(home).registry
        made = train_predictor(
            registry,
            datasets,
            read_file(outcomes),
            seed=seed,
            on_dataset=lambda done, total: tell(f"sketched {done} of {total} datasets"),
        )
        place = own_predictor(registry.home) if out is None else out
        save_predictor(made, place)
    return {"out": place, **made.card}


def _show_evaluated(document: Mapping[str, Any]) -> None:
    fields(
        {
            "error": f"{document['mae_points']:.1f} points of accuracy, on average",
            "intervals": f"{percent(document['coverage'])} hold it, {percent(document['level'])} promised",
            "width": f"{document['width_points']:.0f} points, in the median",
            "where the probe is known": f"{document['beside_probe']['mae_points']:.1f} points, "
            f"a width of {document['beside_probe']['width_points']:.0f}",
            "of": f"{document['outcomes']:,} outcomes on {document['datasets']:,} datasets, each left out",
        }
    )


@encoder_command.command("evaluate")
@click.option("--predictor", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of a file.")
@home_option
@prints(_show_evaluated)
def evaluate_command(predictor: Path | None, home: Path | None) -> dict[str, Any]:
    """Say how far the predictor is off.

    It is asked about the datasets that it learned from, each left out with its relatives.

    \b
    Example:
      snt-zoo encoder evaluate
    """
    from snt_zoo.workflows.train_predictor import open_predictor

    found = open_predictor(home, predictor)
    return {**found.evaluate(), "beside_probe": found.evaluate(beside_probe=True)}


def _show_card(document: Mapping[str, Any]) -> None:
    lines = {
        key.replace("_", " "): value for key, value in document.items() if not isinstance(value, list | dict)
    }
    fields(lines | {key: f"{len(document[key]):,}" for key in ("datasets", "supernets")})


@encoder_command.command("show")
@click.option("--predictor", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of a file.")
@home_option
@prints(_show_card)
def show_command(predictor: Path | None, home: Path | None) -> dict[str, Any]:
    """Show what the predictor learned from.

    \b
    Example:
      snt-zoo encoder show --json
    """
    from snt_zoo.workflows.train_predictor import open_predictor

    return dict(open_predictor(home, predictor).card)
