"""`snt-zoo query`: which supernets were trained on data like yours."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import percent, prints, table
from snt_zoo.cli.parameters import (
    bad_image_option,
    constraint_options,
    exclude_option,
    format_size,
    home_option,
    hub_option,
)
from snt_zoo.cli.progress import waiting

_PAIRS = 3  # nearest pairs of classes that the table shows


def show_matches(document: Mapping[str, Any]) -> None:
    """Print the answer of a query for people."""
    columns = ("rank", True), ("id", False), ("sources", False), ("distance", True), ("new head", True)
    rows = [
        (
            str(rank),
            match["id"] + (f"\non the Hub: {match['repo']}" if match.get("remote") else ""),
            ", ".join(match["sources"]),
            f"{match['distance']:.3f}",
            "" if match["head_accuracy"] is None else percent(match["head_accuracy"]),
            format_size(match["params"]),
            format_size(match["macs"]),
            "\n".join(
                f"{pair['target']} ~ {pair['source_class']} ({pair['distance']:.2f})"
                for pair in sorted(match["class_matches"], key=lambda p: p["distance"])[:_PAIRS]
            ),
        )
        for rank, match in enumerate(document["matches"], 1)
    ]
    numbers = ("params", True), ("MACs", True)
    table([*columns, *numbers, ("nearest classes: yours ~ theirs", False)], rows)
    click.echo(f"ranked by: {document['ranked_by']['distance']} ({document['ranked_by']['level']})")
    if probe := document["probe"]:
        click.echo(
            f"probe: {percent(probe['val_accuracy'])} on validation, a linear classifier on the backbone's "
            f"features ({probe['images']:,} images): what a finetuned network has to beat"
        )
    if document["close"] is False:
        click.echo(
            "none of these is close to your data: with new heads the nearest are behind that, and it may be "
            "hard to beat; `snt-zoo finetune --from auto` tries, and hands back what is better"
        )
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in document["seconds"].items())
    click.echo(f"time: {stages}")


@click.command("query")
@click.argument("dataset")
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="Answers.")
@constraint_options
@exclude_option
@hub_option
@click.option("--distance", help="What ranks: class-ot, otdd, mean-feature, ….  [default: class-ot]")
@click.option("--backbone", help="Makes the sketch.  [default: the starter zoo's]")
@bad_image_option
@home_option
@prints(show_matches)
def query_command(
    dataset: str,
    k: int,
    max_params: int | None,
    max_macs: int | None,
    space: str | None,
    exclude: tuple[str, ...],
    hub: bool,
    distance: str | None,
    backbone: str | None,
    on_bad_image: str,
    home: Path | None,
) -> dict[str, Any]:
    """Find the supernets trained on data like yours.

    Nearest first, and why: which of your classes lie near which of theirs. Parameters and MACs are
    those of the network that the supernet's architecture derives to. No image leaves your machine.

    \b
    Example:
      snt-zoo query photos/
      snt-zoo query sklearn:digits -k 3 --max-params 2M --json
      snt-zoo query photos/ --distance otdd
    """
    importlib.import_module("snt_zoo.data")  # loading torch is no part of the time of reading
    start = time.perf_counter()
    data = read_dataset(dataset, on_bad_image)
    read = time.perf_counter() - start
    with waiting("opening the registry") as tell:
        from snt_zoo import Zoo

        named = {"backbone": backbone, "distance": distance}
        chosen: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        found = Zoo.open(home).query(
            data,
            k=k,
            max_params=max_params,
            max_macs=max_macs,
            space=space,
            exclude=exclude,
            hub=hub,
            on_stage=tell,
            **chosen,
        )
    document = found.to_json()
    return document | {"seconds": {"read": read, **document["seconds"]}}
