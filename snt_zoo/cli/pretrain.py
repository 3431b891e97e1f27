"""`snt-zoo pretrain`: a new supernet for the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import fields, is_first_process, note, percent, prints
from snt_zoo.cli.parameters import (
    FOLDER,
    Home,
    bad_image_option,
    device_option,
    duration,
    home_option,
    latency_options,
    one_budget,
    search_options,
    setting,
    training_options,
)
from snt_zoo.cli.progress import epochs as epoch_progress
from snt_zoo.cli.progress import waiting
from snt_zoo.cli.runs import run_folder


def _show(document: Mapping[str, Any]) -> None:
    metrics = {
        name.replace("_", " "): percent(value)
        for name, value in document["metrics"].items()
        if isinstance(value, float)
    }
    latency = document["search"].get("constraints", {}).get("latency")
    fields(
        {
            "id": document["id"],
            "parameters": f"{document['params']:,}",
            **metrics,
            "latency": None if latency is None else f"{1000 * latency:.3g} ms, predicted",
            "time": f"{document['seconds']:.1f} s",
            "bundle": document["out"],
            "registry": "added" if document["added"] else f"snt-zoo add {document['out']}",
        }
    )


@click.command("pretrain")
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@click.option("--space", default="nas_bench_201", show_default=True, help="Search space.")
@click.option(
    "--set",
    "settings",
    type=setting,
    multiple=True,
    help="A hyperparameter of the space, as channels=16; may be repeated.",
)
@click.option(
    "--init",
    metavar="NAME",
    help="Begin with pretrained weights: mobilenet_v2 or efficientnet_lite0, of the space mobile.",
)
@click.option(
    "--size",
    type=click.IntRange(8, 512),
    help="Side of the images, in pixels.  [default: 32; 96 with --init]",
)
@click.option("--budget", type=duration, help="Time, as 10m.  [default: 60 epochs]")
@training_options
@search_options
@latency_options
@click.option("--name", help="Of the supernet.  [default: made of the space and the datasets]")
@click.option("--licence", default="not stated", show_default=True, help="Of the supernet.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--out", type=FOLDER, help="Where the bundle goes.  [default: runs/NAME-N]")
@click.option("--add", is_flag=True, help="Put it into the registry.")
@bad_image_option
@device_option
@home_option
@prints(_show)
def pretrain_command(
    datasets: tuple[str, ...],
    space: str,
    settings: tuple[tuple[str, int], ...],
    size: int | None,
    budget: str | None,
    epochs: int | None,
    name: str | None,
    out: Path | None,
    resume: bool,
    max_latency: float | None,
    latency_table: Path | None,
    add: bool,
    on_bad_image: str,
    home: Home,
    **options: Any,
) -> dict[str, Any]:
    """Pretrain a supernet and write its bundle.

    The classes of several datasets are joined.

    \b
    Example:
      snt-zoo pretrain photos/ --space nas_bench_201 --set channels=16 --epochs 60 --add
      snt-zoo pretrain photos/ --space mobile --init mobilenet_v2 --epochs 20 --add
    """
    one_budget(budget, epochs)
    sources = [read_dataset(dataset, on_bad_image) for dataset in datasets]
    default = "-".join([space, *(data.name for data in sources)])
    with run_folder(out, name or default, resume=resume) as folder:
        with waiting("opening the registry"):
            from snt_zoo import Budget, Zoo
            from snt_zoo.data.joining import join
            from snt_zoo.workflows.latency import known_file

            zoo = Zoo.open(home)
        note(f"writing to {folder}")
        seconds = None if budget is None else Budget.parse(budget).seconds
        with epoch_progress(seconds=seconds, count=epochs) as tell:
            made = zoo.pretrain(
                sources,
                out=folder,
                space=space,
                input_size=size,
                hyperparameters=dict(settings),
                budget=budget,
                epochs=epochs,
                name=name,
                resume=resume,
                max_latency=max_latency,
                latency_table=latency_table or known_file(zoo),
                on_epoch=tell,
                **options,
            )
        for warning in made.warnings:
            note(f"warning: {warning}")
        if add and is_first_process():
            zoo.add(folder)
        return made.to_json() | join(sources).account() | {"added": add}
