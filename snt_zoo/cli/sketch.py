"""`snt-zoo sketch`: files that a query takes in the place of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import EXIT, fields, note, prints
from snt_zoo.cli.parameters import FOLDER, executor_options
from snt_zoo.cli.progress import waiting


def _show_sketched(document: Mapping[str, Any]) -> None:
    fields(
        {
            "sketched": f"{document['sketched']:,}",
            "there already": f"{document['there']:,}",
            "failed": f"{len(document['failed']):,}",
            "folder": document["out"],
        }
    )


@click.command("sketch")
@click.argument("datasets", nargs=-1, metavar="DATASET...")
@click.option(
    "--many",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that names a dataset on each line.",
)
@click.option("--out", type=FOLDER, default=Path("sketches"), show_default=True, help="Folder of the files.")
@click.option("--backbone", help="Makes the sketches.  [default: the starter zoo's]")
@executor_options
@prints(_show_sketched)
def sketch_command(
    datasets: tuple[str, ...], many: Path | None, out: Path, backbone: str | None, on: str, workers: int
) -> dict[str, Any]:
    """Sketch datasets, each into a file of its own.

    A sketch has at most 200 KB, and no image can be seen in it. What is there is not made again, so the
    command can be stopped and started again. A dataset that cannot be sketched is told of and ends no other;
    the exit code is then 1.

    \b
    Example:
      snt-zoo sketch --many datasets.txt --out sketches/ --workers 2
    """
    refs = [*datasets, *([] if many is None else _lines(many))]
    if not refs:
        raise click.UsageError("name a DATASET, or a file of them with --many")
    with waiting("starting") as tell:
        from snt_zoo.workflows.sketch_many import sketch_many

        sketched, failed = 0, []
        for ended in sketch_many(refs, out, backbone=backbone, on=on, workers=workers):
            if ended.error is None:
                sketched += 1
            else:
                failed.append({"dataset": ended.task, "reason": str(ended.error)})
                note(f"failed: {ended.task}: {ended.error}")
            tell(f"sketched {sketched:,}, failed {len(failed):,}; some {ended.left / 60:.0f} min left")
    if failed:
        click.get_current_context().meta[EXIT] = 1
    there = len(dict.fromkeys(refs)) - sketched - len(failed)
    return {"sketched": sketched, "there": there, "failed": failed, "out": out}


def _lines(path: Path) -> list[str]:
    """What a file names: a dataset on each line, without empty lines and those that begin with #."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
