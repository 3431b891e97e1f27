"""Records as rows of the catalog, and back: one row of each bundle, and what hangs on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from snt_zoo.errors import warn
from snt_zoo.registry.bundle.fields import is_id
from snt_zoo.registry.bundle.manifest import FileEntry
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.tables import ALIASES, BUNDLES, FILES, METRICS, SOURCES, TAGS, VECTORS
from snt_zoo.registry.catalog.vectors import Vectors

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.schema import BundleConfig

_PLAIN = tuple(column.name for column in BUNDLES.columns)
_HANGING = (VECTORS, TAGS, SOURCES, METRICS, FILES)
"""What is written with the row of a bundle."""


@dataclass(frozen=True, eq=False)
class Listing:
    """All that the catalog keeps of one bundle.

    Args:
        record: of it.
        vectors: of its sketches, ``n x dim``.
        config: for its datasets and metrics; without one the record's names and accuracies stand.
        files: sha256 and size of each of its files.
    """

    record: Record
    vectors: Vectors
    config: BundleConfig | None = None
    files: Mapping[str, FileEntry] = field(default_factory=dict)


def insert(connection: sa.Connection, listings: Sequence[Listing]) -> None:
    """Write the rows of bundles that have none."""
    rows: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in (BUNDLES, *_HANGING)}
    for listing in listings:
        record = listing.record
        seed = None if record.seed is None else str(record.seed)
        rows[BUNDLES].append({name: getattr(record, name) for name in _PLAIN} | {"seed": seed})
        children: list[tuple[sa.Table, list[dict[str, Any]]]] = [
            (VECTORS, [{"data": vector.astype("<f4").tobytes()} for vector in listing.vectors]),
            (TAGS, [{"tag": tag} for tag in record.tags]),
            *derived(record, listing.config, listing.files),
        ]
        for table, found in children:
            rows[table] += [{"bundle": record.id} | row for row in found]
    for table in _HANGING:
        # Left by a hand that deleted without foreign keys; they would be taken for these bundles'.
        left = table.delete().where(table.c.bundle == sa.bindparam("left"))
        connection.execute(left, [{"left": listing.record.id} for listing in listings])
    for table, made in rows.items():
        if made:
            connection.execute(table.insert(), made)


def records(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], locate: Callable[[str], Path]
) -> list[Record]:
    """The records of the rows that meet the conditions, by name and id.

    A row that was edited to name no bundle is left out; `verify` tells of it.
    """
    query = BUNDLES.select().where(*conditions).order_by(BUNDLES.c.name, BUNDLES.c.id)
    rows = []
    for row in connection.execute(query):
        if is_id(row.id):
            rows.append(row)
        else:
            warn(f"left out {ascii(row.id)[:80]}, which is no id: run `snt-zoo verify --repair`")
    chosen = sa.select(BUNDLES.c.id).where(*conditions)
    place: sa.ColumnElement[int] = sa.literal_column("rowid")
    sources = _gather(connection, SOURCES, SOURCES.c.name, SOURCES.c.position, chosen)
    fingerprints = _gather(connection, SOURCES, SOURCES.c.fingerprint, SOURCES.c.position, chosen)
    tags = _gather(connection, TAGS, TAGS.c.tag, place, chosen)
    aliases = _gather(connection, ALIASES, ALIASES.c.alias, ALIASES.c.alias, chosen)
    found = []
    for row in rows:
        fields = dict(row._mapping)
        fields["seed"] = None if fields["seed"] is None else int(fields["seed"])
        id = fields["id"]
        found.append(
            Record(
                **fields,
                sources=tuple(sources[id]),
                fingerprints=tuple(fingerprints[id]),
                tags=tuple(tags[id]),
                aliases=tuple(aliases[id]),
                path=locate(id),
            )
        )
    return found


def _gather(
    connection: sa.Connection,
    table: sa.Table,
    value: sa.Column[Any],
    order: sa.ColumnElement[Any],
    chosen: sa.Select[Any],
) -> dict[str, list[str]]:
    query = sa.select(table.c.bundle, value).where(table.c.bundle.in_(chosen)).order_by(order)
    found: dict[str, list[str]] = defaultdict(list)
    for bundle, item in connection.execute(query):
        found[bundle].append(item)
    return found


def derived(
    record: Record, config: BundleConfig | None, files: Mapping[str, FileEntry]
) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    """The rows of each table that follow from a bundle's files; without a config from its record."""
    if config is None:
        sources = [{"position": i, "name": name} for i, name in enumerate(record.sources)]
        metrics = {"val_accuracy": record.val_accuracy, "test_accuracy": record.test_accuracy}
    else:
        sources = [
            {"position": i, "name": data.name, "source": data.source, "fingerprint": data.fingerprint}
            for i, data in enumerate(config.training.datasets)
        ]
        metrics = config.metrics.model_dump()
    measured = {name: value for name, value in metrics.items() if value is not None}
    return [
        (SOURCES, sources),
        (METRICS, [{"name": name, "value": value} for name, value in sorted(measured.items())]),
        (FILES, [{"name": name} | entry.model_dump() for name, entry in sorted(files.items())]),
    ]


def held(connection: sa.Connection, id: str, table: sa.Table) -> list[dict[str, Any]]:
    """The rows of a bundle in a table of `derived`, in the same order."""
    columns = [column for column in table.columns if column.name != "bundle"]
    query = sa.select(*columns).where(table.c.bundle == id).order_by(columns[0])
    return [dict(row._mapping) for row in connection.execute(query)]
