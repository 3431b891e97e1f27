"""`snt-zoo tag`, `alias`, `aliases`, `lineage`: what versions are called, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from snt_zoo.cli.output import Names, fields, minute, note, prints, table
from snt_zoo.cli.parameters import Home, home_option
from snt_zoo.cli.registry import open_registry


def _show_tags(document: Mapping[str, Any]) -> None:
    fields({"id": document["id"], "tags": ", ".join(document["tags"])})


@click.command("tag")
@click.argument("id")
@click.option("--add", "added", multiple=True, metavar="TAG", help="Tag to add; may be repeated.")
@click.option("--remove", "removed", multiple=True, metavar="TAG", help="Tag to remove; may be repeated.")
@home_option
@prints(_show_tags)
def tag_command(id: str, added: tuple[str, ...], removed: tuple[str, ...], home: Home) -> dict[str, Any]:
    """Add tags to a supernet, and remove some, in this registry.

    The bundle itself never changes, and its author's tags stay in it.

    \b
    Example:
      snt-zoo tag flowers@latest --add reviewed --remove draft
    """
    registry = open_registry(home)
    record = registry.tag(registry.resolve(id), add=added, remove=removed)
    return {"id": record.id, "tags": list(record.tags)}


def _show_alias(document: Mapping[str, Any]) -> None:
    fields({f"{document['name']}@{document['alias']}": document["id"] or "dropped"})


@click.command("alias")
@click.argument("address", metavar="NAME@ALIAS")
@click.argument("id", required=False)
@click.option("--drop", is_flag=True, help="Take the alias away.")
@click.option("--why", default="", help="A line for the audit trail.")
@click.option("--by", help="Who moves it.  [default: your user name]")
@home_option
@prints(_show_alias)
def alias_command(
    address: str, id: str | None, drop: bool, why: str, by: str | None, home: Home
) -> dict[str, Any]:
    """Name a version of a supernet, or tell which it is.

    NAME@ALIAS stands for the version ID from then on, wherever an id is asked for. Every move is
    written down: see `snt-zoo aliases --history`.

    \b
    Example:
      snt-zoo alias flowers@best flowers-0a1b2c3d --why "0.93 on our own test"
      snt-zoo query photos/ && snt-zoo finetune photos/ --from flowers@best
    """
    name, at, alias = address.partition("@")
    if not at or not alias:
        raise click.UsageError(f"{address!r} is no alias: write it as NAME@ALIAS")
    if drop and id is not None:
        raise click.UsageError("give an ID or --drop, not both")
    registry = open_registry(home)
    if drop:
        registry.aliases.drop(name, alias, why=why, by=by)
        return {"name": name, "alias": alias, "id": None}
    if id is None:
        return {"name": name, "alias": alias, "id": registry.resolve(address)}
    record = registry.show(registry.resolve(id))
    if record.name != name:
        raise click.UsageError(f"{record.id} is a version of {record.name}, not of {name}")
    registry.aliases.move(alias, record.id, why=why, by=by)
    return {"name": name, "alias": alias, "id": record.id}


def _show_aliases(document: Mapping[str, Any]) -> None:
    if not document["aliases"]:
        note("no alias; give one with `snt-zoo alias NAME@ALIAS ID`")
    else:
        cells = [(f"{row['name']}@{row['alias']}", row["id"]) for row in document["aliases"]]
        table([("alias", False), ("stands for", False)], cells, keep=2)
    if document["history"]:
        click.echo()
        titles = "when (UTC)", "alias", "from", "to", "by", "why"
        moves = [_move(row) for row in document["history"]]
        table([(title, False) for title in titles], moves, keep=2, below=1)


def _move(row: Mapping[str, Any]) -> Sequence[str]:
    previous, digest = (row[key][:8] if row[key] else "-" for key in ("previous", "digest"))
    return minute(row["at"]), f"{row['name']}@{row['alias']}", previous, digest, row["by"], row["why"]


@click.command("aliases")
@click.argument("name", required=False)
@click.option("--history", is_flag=True, help="Also every move: when, from, to, by whom, why.")
@home_option
@prints(_show_aliases)
def aliases_command(name: str | None, history: bool, home: Home) -> dict[str, Any]:
    """List the aliases, all or those of a NAME.

    \b
    Example:
      snt-zoo aliases flowers --history
    """
    aliases = open_registry(home).aliases
    moves = aliases.history(name) if history else []
    return {"aliases": [asdict(one) for one in aliases.all(name)], "history": [asdict(one) for one in moves]}


def _show_lineage(document: Mapping[str, Any]) -> None:
    rows = [("this", document), *(("parent", one) for one in document["ancestors"])]
    rows += [("child", one) for one in document["children"]]
    cells = [
        (
            relation,
            one["id"],
            Names([source["name"] for source in one["sources"]], "sources"),
            one["code_version"] or ("-" if one["here"] else "not here"),
            "-" if one["seed"] is None else str(one["seed"]),
            ", ".join(source["fingerprint"] for source in one["sources"]),
        )
        for relation, one in rows
    ]
    titles = "relation", "id", "trained on", "code", "seed", "fingerprint"
    table([(title, title == "seed") for title in titles], cells, keep=2)


@click.command("lineage")
@click.argument("id")
@home_option
@prints(_show_lineage)
def lineage_command(id: str, home: Home) -> dict[str, Any]:
    """Show where a supernet comes from.

    That is: what it was trained on and with which seed and code, its parents, and its children.

    \b
    Example:
      snt-zoo lineage flowers@best
    """
    registry = open_registry(home)
    return registry.lineage(registry.resolve(id)).to_json()
