"""`snt-zoo list`, `show`, `add`, `remove`: the supernets in the registry."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.output import fields, note, percent, plain, prints, table
from snt_zoo.cli.parameters import FOLDER, constraint_options, filter_options, format_size, home_option
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo import Zoo


def open_zoo(home: Path | None) -> Zoo:
    """The zoo of a registry, with a spinner while it opens."""
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
            ", ".join(row["aliases"]),
            ", ".join(row["tags"]),
        )
        for row in rows
    ]
    table([*columns, ("test accuracy", True), ("aliases", False), ("tags", False)], cells)


@click.command("list")
@constraint_options
@filter_options
@home_option
@prints(_show_list)
def list_command(
    home: Path | None, metrics: tuple[tuple[str, Any, float], ...], **conditions: Any
) -> list[dict[str, Any]]:
    """List the supernets in the registry.

    \b
    Example:
      snt-zoo list --max-params 500k --licence 'cc-*' --min-accuracy 0.8
    """
    from snt_zoo import Bound, Filter

    where = Filter(metrics=tuple(Bound(*metric) for metric in metrics), **conditions)
    return [asdict(record) for record in open_zoo(home).list(where)]


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

    ID is its id, its name, a beginning that fits only one, NAME@ALIAS or NAME@DIGEST.

    \b
    Example:
      snt-zoo show nas_bench_201-flowers
    """
    zoo = open_zoo(home)
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
@click.option("--tag", "tags", multiple=True, help="Tag to give it here; may be repeated.")
@click.option("--alias", "aliases", multiple=True, help="Alias of its name to move to it; may be repeated.")
@home_option
@prints(_show_added)
def add_command(
    folder: Path, tags: tuple[str, ...], aliases: tuple[str, ...], home: Path | None
) -> dict[str, Any]:
    """Check a bundle and copy it into the registry.

    \b
    Example:
      snt-zoo add runs/my-supernet-1 --alias best
    """
    return asdict(open_zoo(home).add(folder, tags=tags, aliases=aliases))


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
    zoo = open_zoo(home)
    record = zoo.show(id)
    if not yes:
        also = f", with its aliases {', '.join(record.aliases)}" if record.aliases else ""
        click.confirm(f"Remove {record.id}{also} from {record.path.parent}?", abort=True, err=True)
    return {"removed": zoo.remove(record.id)}
