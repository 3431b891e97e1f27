"""When the database cannot be read: it is set aside, a new one is made, and what it alone knew is saved.

Rows of bundles and vectors follow from the bundles, and `verify --repair` makes them again. The moves
of aliases (from which the aliases follow), tags, the limit and which starters were offered stand
nowhere else: they are read from the damaged file as far as SQLite can, and from the backups.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snt_zoo.errors import RegistryError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.tables import BUNDLES, MOVES, SEEDED, STATE, TAGS
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep.opening import CATALOG


def set_catalog_aside(home: Path) -> Path:
    """Move a damaged catalog into `quarantine/` and make a new one, with what can be saved, in its place.

    Args:
        home: of the registry.

    Returns:
        The folder that it is in now.
    """
    store = Store(home)
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    away = home / "quarantine" / f"catalog-{now}"
    with store.lock():
        try:
            away.mkdir(parents=True)
            for path in sorted(home.glob(f"{CATALOG}*")):  # with its -wal and -shm
                path.rename(away / path.name)
            sync_folder(away.parent, files=False)
            sync_folder(home, files=False)
        except OSError as error:
            raise RegistryError(f"the damaged catalog in {home} cannot be moved away: {error}") from error
        catalog = Catalog(home / CATALOG, locate=store.path)
        catalog.prepare()
        _save(away, home, catalog, (MOVES, SEEDED, STATE))
    return away


def save_tags(away: Path, home: Path, catalog: Catalog) -> int:
    """Give the bundles, which are listed again, the tags that only the damaged catalog knew.

    Args:
        away: as `set_catalog_aside` returned it.
        home: of the registry.
        catalog: the new one.

    Returns:
        How many tags were saved.
    """
    return _save(away, home, catalog, (TAGS,))


def _save(away: Path, home: Path, catalog: Catalog, tables: Sequence[sa.Table]) -> int:
    saved = 0
    for path in [away / CATALOG, *sorted((home / "backups").glob("catalog-*.sqlite"), reverse=True)]:
        for table in tables:
            rows = _readable(path, table)
            with catalog.write() as connection:
                saved += sum(_restore(connection, table, row) for row in rows)
    return saved


def _readable(path: Path, table: sa.Table) -> list[dict[str, Any]]:
    """The rows of a damaged database that can still be read."""
    rows: list[dict[str, Any]] = []
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f'SELECT * FROM "{table.name}"'):
            rows.append(dict(row))  # noqa: PERF401  # those before the damage are kept
    return rows


def _restore(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> int:
    if set(row) != {column.name for column in table.columns}:  # of an earlier schema
        return 0
    if table is STATE and row["key"] != "max_bytes":
        return 0
    if "bundle" in row and not connection.scalar(
        sa.select(sa.func.count()).where(BUNDLES.c.id == row["bundle"])
    ):
        return 0
    return connection.execute(table.insert().prefix_with("OR IGNORE").values(row)).rowcount
