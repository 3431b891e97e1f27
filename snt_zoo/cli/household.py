"""`snt-zoo verify`, `gc`, `limit`, `checkout`, `backup`: keeping a registry in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import EXIT, fields, note, prints, table
from snt_zoo.cli.parameters import Home, count, here, home_option
from snt_zoo.cli.progress import waiting
from snt_zoo.cli.registry import open_registry


def _show_verified(document: Mapping[str, Any]) -> None:
    if document["problems"]:
        titles = "problem", "where", "what", "repaired"
        rows = [
            (row["kind"], row["where"], row["what"], row["repaired"] or "no") for row in document["problems"]
        ]
        table([(title, False) for title in titles], rows, keep=2, below=2)
    note(f"checked {document['bundles']:,} supernets: {'all is well' if document['ok'] else 'see above'}")


@click.command("verify")
@click.argument("id", required=False)
@click.option("--repair", is_flag=True, help="Make again what can be made again; set aside what cannot.")
@home_option
@prints(_show_verified)
def verify_command(id: str | None, repair: bool, home: Home) -> dict[str, Any]:
    """Check the registry, or one supernet, and repair it.

    Every hash is computed, the catalog compared with the bundles and the index with the catalog.

    Exits with 1 if something is wrong and was not repaired. Nothing is ever deleted by a repair that
    might be wanted: it goes to the folder `quarantine` of the registry.

    \b
    Example:
      snt-zoo verify --repair
    """
    from snt_zoo.zoo import Zoo

    with waiting("reading") as tell:
        found = Zoo.verify(
            here(home, "verify"),
            id,
            repair=repair,
            on_bundle=lambda done, all: tell(f"verified {done} of {all} supernets"),
        )
    if not found.ok:
        click.get_current_context().meta[EXIT] = 1
        count = sum(problem.repaired is None for problem in found.problems)
        advice = "what remains has to be mended by hand" if repair else "run `snt-zoo verify --repair`"
        note(f"error: {count} problems in the registry; {advice}")
    return found.to_json()


def _show_collected(document: Mapping[str, Any]) -> None:
    would = "would be " if document["dry_run"] else ""
    fields(
        {
            "blobs": f"{len(document['blobs']):,} {would}deleted: no supernet needs them",
            "temporary": f"{len(document['temporary']):,} {would}deleted: a crash left them",
            "shared": f"{document['shared']:,} second copies {would}replaced by links",
            "bytes": f"{document['bytes']:,} {would}freed",
            **{name: f"{size:,} bytes, only ever deleted by hand" for name, size in document["kept"].items()},
        }
    )


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@home_option
@prints(_show_collected)
def gc_command(dry_run: bool, home: Home) -> dict[str, Any]:
    """Delete files that no supernet needs, and what crashes left.

    \b
    Example:
      snt-zoo gc --dry-run
    """
    return open_registry(home).gc(dry_run=dry_run).to_json()


def _show_usage(document: Mapping[str, Any]) -> None:
    sizes = {"used": document["bytes"], "limit": document["limit"], "left": document["room"]}
    known = {name: f"{size:,} bytes" for name, size in sizes.items() if size is not None}
    fields({"limit": "none"} | known)


def _limit(text: str) -> int | None:
    return None if text == "none" else count(text)


@click.command("limit")
@click.argument("size", required=False, type=_limit, metavar="[SIZE|none]")
@home_option
@prints(_show_usage)
def limit_command(size: int | None, home: Home) -> dict[str, Any]:
    """Tell or limit the bytes of the registry.

    An add or a pull beyond the limit is refused, with the names of supernets that could be removed.

    \b
    Example:
      snt-zoo limit 20G
      snt-zoo limit none
    """
    registry = open_registry(home)
    given = click.get_current_context().get_parameter_source("size")
    asked = given is click.core.ParameterSource.COMMANDLINE
    usage = registry.set_limit(size) if asked else registry.usage()
    return {"bytes": usage.bytes, "limit": usage.limit, "room": usage.room}


def _show_checkout(document: Mapping[str, Any]) -> None:
    fields({"id": document["id"], "out": document["out"]})


@click.command("checkout")
@click.argument("id")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@home_option
@prints(_show_checkout)
def checkout_command(id: str, folder: Path, home: Home) -> dict[str, Any]:
    """Copy a supernet out of the registry.

    DIR becomes a bundle's folder, whose hashes were checked; `snt-zoo add DIR` takes it back.

    \b
    Example:
      snt-zoo checkout flowers@best flowers/
    """
    registry = open_registry(home)
    full = registry.resolve(id)
    return {"id": full, "out": str(registry.checkout(full, folder))}


def _show_backup(document: Mapping[str, Any]) -> None:
    left_out = document["left_out"]
    fields(
        {
            "backup": document["file"],
            "supernets": f"{document['bundles']:,}",
            "size": f"{document['bytes']:,} bytes",
            **({"left out": ", ".join(left_out)} if left_out else {}),
        }
    )


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@home_option
@prints(_show_backup)
def backup_command(file: Path, home: Home) -> dict[str, Any]:
    """Write a backup of the registry to a file.

    The registry may be used meanwhile. FILE is a tar: unpacked into an empty folder it is the registry again.

    \b
    Example:
      snt-zoo backup zoo.tar
      mkdir restored && tar -xf zoo.tar -C restored && snt-zoo verify --home restored
    """
    with waiting("writing the backup"):
        done = open_registry(home).backup(file)
    return {"file": done.file, "bundles": done.bundles, "bytes": done.bytes, "left_out": list(done.left_out)}
