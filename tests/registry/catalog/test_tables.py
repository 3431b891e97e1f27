"""The steps of the migrations lead to the tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.tables import METADATA, SCHEMA_VERSION


def test_the_steps_lead_to_the_tables(old: Path, tmp_path: Path) -> None:
    """alembic's own comparison, and the columns and foreign keys of both catalogs as SQLite tells them."""
    Registry.open(old)
    fresh = Registry.open(tmp_path / "fresh").home
    engine = sa.create_engine(f"sqlite:///{old / 'catalog.sqlite'}", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    seen = []
    for home in (old, fresh):
        with sqlite3.connect(home / "catalog.sqlite") as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = {t: sorted(r[1:] for r in db.execute(f"PRAGMA table_info({t})")) for t in tables}
            keys = {t: sorted(r[2:] for r in db.execute(f"PRAGMA foreign_key_list({t})")) for t in tables}
            indexes = {
                t: sorted(r[1:] for r in db.execute(f"PRAGMA index_list({t})") if r[3] == "c") for t in tables
            }
            versions = db.execute("SELECT version_num FROM alembic_version").fetchall()
            counted = [line for t in tables if (line := _sql(db, t)) and "AUTOINCREMENT" in line]
        db.close()
        assert versions == [(str(SCHEMA_VERSION),)]
        unordered = {t: sorted((c[0], c[1], c[2], c[3], c[4]) for c in cs) for t, cs in columns.items()}
        seen.append((sorted(tables), unordered, keys, indexes, len(counted)))
    assert seen[0] == seen[1]


def _sql(db: sqlite3.Connection, table: str) -> str | None:
    found: str | None = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    return found
