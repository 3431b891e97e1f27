"""`snt-zoo bench`: how long a network takes on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import fields, prints, table
from snt_zoo.cli.parameters import home_option
from snt_zoo.cli.progress import waiting


def _show(document: Mapping[str, Any]) -> None:
    if "table" in document:
        fields({"table": document["table"], "threads": document["threads"], "rows": len(document["rows"])})
        return
    from snt_zoo.workflows.bench import summary

    titles = ("engine", "p50 ms", "p90 ms", "p99 ms", "images/s", "peak MB")
    table([(title, place > 0) for place, title in enumerate(titles)], list(summary(document["measured"])))


@click.command("bench")
@click.argument(
    "model", type=click.Path(path_type=Path, exists=True), metavar="[MODEL_DIR|FILE.onnx]", required=False
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="That the network may use.  [default: all cores; 1 with --table]",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time.")
@click.option(
    "--side", type=click.IntRange(1), help="Of the images, in pixels.  [default: what the network wants]"
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=3.0,
    show_default=True,
    help="Of each measurement.",
)
@click.option(
    "--table",
    "as_table",
    is_flag=True,
    help="Measure the operations of the search spaces, for --max-latency.",
)
@click.option(
    "--space", "spaces", multiple=True, help="With --table only this search space; may be repeated."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the table goes.  [default: the registry]",
)
@home_option
@prints(_show)
def bench_command(
    model: Path | None,
    as_table: bool,
    spaces: tuple[str, ...],
    out: Path | None,
    home: Path | None,
    **options: Any,
) -> dict[str, Any]:
    """Measure a network's latency, throughput and memory.

    PyTorch and onnxruntime run it in a process of its own each, warmed up. `whole` begins with the resize of
    an image, `network` after it.

    With --table no network is measured but what search spaces are made of, which takes minutes. The registry
    keeps it, and --max-latency of `query` and `finetune` goes by it; what is there already is not measured
    again.

    \b
    Example:
      snt-zoo bench runs/photos-1 --threads 1
      snt-zoo bench runs/photos-1/model.onnx --batch 16
      snt-zoo bench --table
    """
    if as_table == (model is not None):
        raise click.UsageError("give a model or --table, one of both")
    if as_table:
        with waiting("measuring operations") as tell:
            from snt_zoo import Zoo
            from snt_zoo.workflows.latency import measure_table, to_json

            threads = options["threads"] or 1
            made = measure_table(Zoo.open(home), threads=threads, out=out, spaces=spaces, tell=tell)
            return to_json(*made)
    assert model is not None
    with waiting(f"measuring {model}") as tell:
        from snt_zoo.workflows.bench import bench

        return bench(model, tell=tell, **options)
