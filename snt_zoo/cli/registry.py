"""`snt-zoo list`, `show`, `add`, `remove`: the supernets in the registry."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.output import fields, note, percent, plain, prints, table
from snt_zoo.cli.parameters import FOLDER, constraint_options, format_size, home_option
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo import Zoo


def _open(home: Path | None) -> Zoo:
    with waiting("opening the registry"):
        from snt_zoo import Zoo

        return Zoo.open(home)


def _show_list(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        note("no supernet in the registry fits; add one with `snt-zoo add DIR`")
        return
    columns = ("id", False), ("space", False), ("sources", False), ("params", True), ("MACs", True)
    cells = [
        (
            row["id"],
            row["space"],
            ", ".join(row["sources"]),
            format_size(row["params"]),
            format_size(row["macs"]),
            percent(row["test_accuracy"]),
            ", ".join(row["tags"]),
        )
        for row in rows
    ]
    table([*columns, ("test accuracy", True), ("tags", False)], cells)


@click.command("list")
@constraint_options
@click.option("--tag", help="Only those with this tag.")
@home_option
@prints(_show_list)
def list_command(
    max_params: int | None,
    max_macs: int | None,
    space: str | None,
    tag: str | None,
    home: Path | None,
) -> list[dict[str, Any]]:
    """List the supernets in the registry.

    \b
    Example:
      snt-zoo list --max-params 500k
    """
    found = _open(home).list(space=space, max_params=max_params, max_macs=max_macs, tag=tag)
    return [asdict(record) for record in found]


def _show_record(document: Mapping[str, Any]) -> None:
    fields(
        {
            name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            for name, value in plain(document).items()
            if name not in ("config", "origin")
        }
    )
    origin = document["origin"]
    if origin is not None:
        fields({"pulled from": f"{origin['repo']}@{origin['commit']} ({origin['endpoint']})"})
    config = document["config"]
    for data in config["training"]["datasets"]:
        click.echo()
        fields({f"source {name}": value for name, value in data.items()})
    click.echo()
    fields(
        {
            "classes": ", ".join(config["class_names"]),
            **{f"network {name}": value for name, value in config["network"].items()},
        }
    )


@click.command("show")
@click.argument("id")
@home_option
@prints(_show_record)
def show_command(id: str, home: Path | None) -> dict[str, Any]:
    """Show all that is known of a supernet.

    ID is its id, its name, or a beginning that fits only one.

    \b
    Example:
      snt-zoo show nas_bench_201-flowers
    """
    zoo = _open(home)
    record = zoo.show(id)
    origin = zoo.origin(record.id)
    return asdict(record) | {
        "origin": None if origin is None else origin.to_json(),
        "config": record.config.model_dump(mode="json"),
    }


def _show_added(document: Mapping[str, Any]) -> None:
    fields({"added": document["id"], "path": document["path"]})


@click.command("add")
@click.argument("folder", metavar="DIR", type=FOLDER)
@home_option
@prints(_show_added)
def add_command(folder: Path, home: Path | None) -> dict[str, Any]:
    """Check a bundle and copy it into the registry.

    \b
    Example:
      snt-zoo add runs/my-supernet-1
    """
    return asdict(_open(home).add(folder))


def _show_removed(document: Mapping[str, Any]) -> None:
    fields({"removed": document["removed"]})


@click.command("remove")
@click.argument("id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@prints(_show_removed)
def remove_command(id: str, yes: bool, home: Path | None) -> dict[str, Any]:
    """Remove a supernet from the registry.

    \b
    Example:
      snt-zoo remove nas_bench_201-flowers --yes
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: add --yes")
    zoo = _open(home)
    record = zoo.show(id)
    if not yes:
        click.confirm(f"Remove {record.id} from {record.path.parent}?", abort=True, err=True)
    return {"removed": zoo.remove(record.id)}
