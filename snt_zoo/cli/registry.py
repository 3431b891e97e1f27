"""`snt-zoo list`, `show`, `add`, `remove`: the supernets in the registry."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.output import Names, fields, minute, note, percent, prints, table
from snt_zoo.cli.parameters import FOLDER, Home, constraint_options, filter_options, home_option
from snt_zoo.cli.progress import waiting
from snt_zoo.formats.counts import format_size

if TYPE_CHECKING:
    from snt_zoo.registry.registry import Registry

_SOURCES = 10  # that `show` lists on a terminal


def open_registry(home: Home) -> Registry:
    """The registry, with a spinner while it opens; torch is not loaded."""
    with waiting("opening the registry"):
        from snt_zoo.registry.remote.opening import open_registry as opened

        return opened(home)


def _show_list(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        note("no supernet in the registry fits; add one with `snt-zoo add DIR`")
        return
    titles = "id", "sources", "params", "accuracy", "MACs", "space", "tags", "aliases"
    cells = [
        (
            row["id"],
            Names(row["sources"], "sources"),
            format_size(row["params"]),
            percent(row["test_accuracy"]),
            format_size(row["macs"]),
            row["space"],
            ", ".join(row["tags"]),
            ", ".join(row["aliases"]),
        )
        for row in rows
    ]
    table([(title, title in ("params", "accuracy", "MACs")) for title in titles], cells)


@click.command("list")
@constraint_options
@filter_options
@home_option
@prints(_show_list)
def list_command(home: Home, **conditions: Any) -> list[dict[str, Any]]:
    """List the supernets in the registry.

    Parameters, MACs and accuracy are those of the network that the supernet's architecture derives to,
    the accuracy on the test part of what it was trained on. A narrow terminal leaves columns out.

    \b
    Example:
      snt-zoo list --max-params 500k --licence 'cc-*' --min-accuracy 0.8
    """
    from snt_zoo import Filter

    # Not `asdict`, which copies what is in it: of 10⁵ records that takes as long as to read them.
    return [vars(record) for record in open_registry(home).list(Filter(**conditions))]


def _show_record(document: Mapping[str, Any]) -> None:
    config, origin = document["config"], document["origin"]
    if config is None:
        fields({name: value for name, value in document.items() if isinstance(value, str | int | float)})
        return
    network, training = config["network"], config["training"]
    settings = ", ".join(f"{name} {value}" for name, value in network["hyperparameters"].items())
    derived, supernet = (
        f"{config[f'{of}params']:,} parameters, {format_size(config[f'{of}macs'])} MACs"
        for of in ("", "supernet_")
    )
    fields(
        {
            "id": document["id"],
            "description": config["description"],
            "trained on": Names(document["sources"], "sources"),
            "aliases": ", ".join(document["aliases"]),
            "tags": ", ".join(document["tags"]),
            "licence": document["licence"],
            "folder": document["path"],
            "size": f"{document['size']:,} bytes",
            "added": f"{minute(document['added_at'])} UTC",
            "pulled from": origin and f"{origin['repo']}@{origin['commit']} ({origin['endpoint']})",
        }
    )
    _section(
        "network",
        {
            "space": f"{network['space']} ({settings})",
            "derived network": derived,
            "supernet": supernet,
            "images": f"{network['input_size']} x {network['input_size']} pixels",
            "classes": Names(config["class_names"], "in all"),
        },
    )
    _section("metrics", {name: value and f"{value:.4g}" for name, value in config["metrics"].items()})
    _section(
        "training",
        {
            "date": training["date"],
            "time": f"{training['seconds']:,.0f} s, {training['epochs']:,} epochs",
            "seed": training["seed"],
            "code": f"snt-zoo {training['code_version']}, torch {training['torch_version']}",
            "parent": training["parent"],
            "backbone": document["backbone"],
            "encoder": document["encoder"],
        },
    )
    click.echo()
    numbers = "classes", "images", "accuracy"
    columns = [("source", False), *((title, True) for title in numbers)]
    measured = document["test_accuracy"] if len(training["datasets"]) == 1 else None
    rows = [
        (
            data["name"],
            f"{data['classes']:,}",
            f"{data['train_images']:,}",
            percent(data.get("test_accuracy", measured)),
            Names([data["licence"]]),
            Names([data["source"]]),
            data["fingerprint"],
        )
        for data in training["datasets"]
    ]
    more = "licence", "from", "fingerprint"
    table([*columns, *((title, False) for title in more)], rows, most=_SOURCES)


def _section(title: str, rows: Mapping[str, object]) -> None:
    click.secho(f"\n{title}", bold=True)
    fields(rows)


@click.command("show")
@click.argument("id")
@home_option
@prints(_show_record)
def show_command(id: str, home: Home) -> dict[str, Any]:
    """Show what is known of a supernet.

    ID is its id, its name, a beginning that fits only one, NAME@ALIAS or NAME@DIGEST. A terminal shows
    ten of its sources at most; --json has everything.

    \b
    Example:
      snt-zoo show nas_bench_201-flowers
    """
    from snt_zoo.errors import leaving_out
    from snt_zoo.registry.hub.origins import Origins

    registry = open_registry(home)
    record = registry.show(registry.resolve(id))
    found: dict[str, Any] = {"origin": None, "config": None}
    with leaving_out(f"what {record.id} says of itself"):  # then the catalog's row is shown alone
        found["config"] = record.document()
    with leaving_out(f"where {record.id} was pulled from"):
        origin = Origins(registry.home).get(record.id)
        found["origin"] = None if origin is None else origin.to_json()
    return asdict(record) | found


def _show_added(document: Mapping[str, Any]) -> None:
    fields({"added": document["id"], "path": document["path"]})


@click.command("add")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--tag", "tags", multiple=True, help="Tag to give it here; may be repeated.")
@click.option("--alias", "aliases", multiple=True, help="Alias of its name to move to it; may be repeated.")
@home_option
@prints(_show_added)
def add_command(folder: Path, tags: tuple[str, ...], aliases: tuple[str, ...], home: Home) -> dict[str, Any]:
    """Check a bundle and copy it into the registry.

    \b
    Example:
      snt-zoo add runs/my-supernet-1 --alias best
    """
    return asdict(open_registry(home).add(folder, tags=tags, aliases=aliases))


def _show_removed(document: Mapping[str, Any]) -> None:
    fields({"removed": document["removed"]})


@click.command("remove")
@click.argument("id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@prints(_show_removed)
def remove_command(id: str, yes: bool, home: Home) -> dict[str, Any]:
    """Remove a supernet from the registry.

    \b
    Example:
      snt-zoo remove nas_bench_201-flowers --yes
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: add --yes")
    registry = open_registry(home)
    record = registry.show(registry.resolve(id))
    if not yes:
        also = f", with its aliases {', '.join(record.aliases)}" if record.aliases else ""
        click.confirm(f"Remove {record.id}{also} from {record.path.parent}?", abort=True, err=True)
    registry.remove(record.id)
    return {"removed": record.id}
