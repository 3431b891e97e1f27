"""`snt-zoo finetune`: a network for your data, from the best supernet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import fields, is_first_process, note, percent, prints, table
from snt_zoo.cli.parameters import (
    FOLDER,
    Home,
    bad_image_option,
    device_option,
    duration,
    exclude_option,
    home_option,
    hub_option,
    latency_options,
    licence_option,
    one_budget,
    search_options,
    training_options,
)
from snt_zoo.cli.progress import epochs as epoch_progress
from snt_zoo.cli.progress import waiting
from snt_zoo.cli.runs import run_folder
from snt_zoo.formats.counts import format_size

_RETURNED = {
    "probe": "a linear probe on the ImageNet backbone; the network of the search is in derived/",
    "ensemble": "the network of the search, alone in derived/, together with a linear probe on the backbone",
}


def show_run(document: Mapping[str, Any]) -> None:
    """Print the summary of a run for people."""
    accuracy = document["accuracy"]
    cells = document["genotype"]["cells"].items()
    genotype = "; ".join(
        f"{kind}: " + ", ".join(f"{op}({source}>{target})" for source, target, op in edges)
        for kind, edges in cells
    )
    fields(
        {
            "source": document["from"],
            **({"returned": _RETURNED[what]} if (what := document["returned"]) in _RETURNED else {}),
            "genotype": genotype,
            "accuracy": f"test {percent(accuracy['test'])}, validation {percent(accuracy['val'])}",
            "size": f"{document['params']:,} parameters, {format_size(document['macs'])} MACs",
            "time": f"{document['seconds']:.1f} s",
            "model": document["out"],
            "report": Path(document["out"]) / "report.html",
        }
    )
    if document["pareto"] is not None:
        _show_front(document["pareto"]["networks"])


def _show_front(networks: Sequence[Mapping[str, Any]]) -> None:
    """The networks of a run with `--pareto`, from the smallest on."""
    columns: dict[str, list[str]] = {
        "test accuracy": [percent(each["accuracy"]["test"]) for each in networks],
        "MACs": [format_size(each["macs"]) for each in networks],
        "parameters": [format_size(each["params"]) for each in networks],
        "latency": [_milliseconds(each["latency"]) for each in networks],
        "front": ["no" if each["dominated"] else "yes" for each in networks],
        "folder": [each["out"] for each in networks],
    }
    if all(each["latency"] is None for each in networks):
        del columns["latency"]  # no table knows them
    click.echo()
    table(
        [(name, name not in ("front", "folder")) for name in columns],
        list(zip(*columns.values(), strict=True)),
    )


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.3g} ms"


@contextlib.contextmanager
def _watching(folder: Path, wanted: bool) -> Iterator[None]:
    """Show the run of a folder on this machine while it goes on."""
    from snt_zoo.errors import ServiceError

    if not wanted or not is_first_process():
        yield
        return
    try:
        from snt_zoo.service.page.watching import watched
    except ImportError as error:
        raise ServiceError(
            f'--watch needs more packages ({error}): pip install "snt-zoo[serve]", or leave it out'
        ) from None

    with watched(folder) as address:
        note(f"watch it at {address}")
        yield


@click.command("finetune")
@click.argument("dataset")
@click.option(
    "--from",
    "source",
    default="auto",
    show_default=True,
    metavar="ID|REPO|auto|scratch",
    help="A supernet, one on the Hub, the best match, or a search from fresh weights.",
)
@click.option("--budget", type=duration, help="Time for the whole run, as 10m.  [default: 10m]")
@training_options
@search_options
@latency_options
@click.option("--out", type=FOLDER, help="Where the model goes.  [default: runs/DATASET-N]")
@click.option(
    "--floor/--no-floor",
    default=True,
    show_default=True,
    help="Hand back a linear probe on the ImageNet backbone where it is better on validation; or the network "
    "and the probe together, where that is clearly better.",
)
@click.option(
    "--pareto",
    is_flag=True,
    help="Several networks, small and large, in place of one: each in a folder of OUT/pareto.",
)
@click.option(
    "--watch", is_flag=True, help="Also show the run live in a browser, at an address that is told."
)
@licence_option
@exclude_option
@hub_option
@bad_image_option
@device_option
@home_option
@prints(show_run)
def finetune_command(
    dataset: str,
    source: str,
    budget: str | None,
    epochs: int | None,
    out: Path | None,
    resume: bool,
    watch: bool,
    pareto: bool,
    on_bad_image: str,
    home: Home,
    **options: Any,
) -> dict[str, Any]:
    """Make a network for your data from a supernet.

    Both the supernet's weights and its architecture are adapted. The folder that is written holds the
    model, its architecture and a report. A run with --epochs repeats to the bit; one with --budget depends
    on the machine.

    With --from auto a new head is fitted to the best matches and to supernets that were trained on many
    datasets. The broadest of those that do well goes on.

    What is handed back is no worse on validation than a linear classifier on an ImageNet backbone: where that
    is better, its network is the model, and the smaller one of the search lies in OUT/derived. Limits of size
    hold for both.

    \b
    Example:
      snt-zoo finetune photos/ --budget 10m
      snt-zoo finetune photos/ --from OWNER/NAME
      snt-zoo finetune photos/ --from scratch --epochs 20 --out model/
      snt-zoo finetune photos/ --budget 10m --max-macs 5M
      snt-zoo finetune photos/ --budget 10m --max-latency 5ms
      snt-zoo finetune photos/ --budget 10m --pareto
    """
    one_budget(budget, epochs)
    if pareto and source == "scratch":
        raise click.UsageError("--pareto chooses networks by inherited weights: --from scratch has none")
    data = read_dataset(dataset, on_bad_image)
    with run_folder(out, data.name, resume=resume) as folder, _watching(folder, watch):
        with waiting("opening the registry"):
            from snt_zoo import Budget, FinetuneResult, Zoo
            from snt_zoo.workflows.finetune import DEFAULT_BUDGET

            zoo = Zoo.open(home)
        note(f"writing to {folder}")
        seconds = None if epochs else Budget.parse(budget or DEFAULT_BUDGET).seconds
        with epoch_progress(seconds=seconds, count=None if epochs is None or pareto else 2 * epochs) as tell:
            result: FinetuneResult = zoo.finetune(
                source,
                data,
                budget=budget,
                epochs=epochs,
                out=folder,
                resume=resume,
                pareto=pareto,
                on_source=lambda id: note(f"from {id}"),
                on_epoch=tell,
                **options,
            )
        for warning in result.warnings:
            note(f"warning: {warning}")
        return result.to_json(out=folder) | data.account()
