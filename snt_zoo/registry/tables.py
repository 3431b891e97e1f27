"""The tables of the catalog, and how SQLite is spoken to.

A change of a table is a new `SCHEMA_VERSION`; a catalog of another version is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

SCHEMA_VERSION = 1
_BUSY_SECONDS = 30.0

METADATA = sa.MetaData()
BUNDLES = sa.Table(
    "bundles",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("params", sa.Integer, nullable=False),
    sa.Column("macs", sa.Integer, nullable=False),
    sa.Column("supernet_params", sa.Integer, nullable=False),
    sa.Column("sources", sa.Text, nullable=False),  # JSON
    sa.Column("tags", sa.Text, nullable=False),  # JSON
    sa.Column("val_accuracy", sa.Float),
    sa.Column("test_accuracy", sa.Float),
    sa.Column("licence", sa.Text, nullable=False),
    sa.Column("backbone", sa.Text, nullable=False),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("added_at", sa.Text, nullable=False),
)
VECTORS = sa.Table(
    "vectors",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bundle", sa.ForeignKey("bundles.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float32, little-endian
    sqlite_autoincrement=True,  # an id is never used again
)
SEEDED = sa.Table(
    "seeded",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
)
STATE = sa.Table(
    "state",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)


def open_database(path: Path) -> sa.Engine:
    """An engine for a catalog's file; nothing is opened yet."""
    # No pool: a connection that outlives its transaction would break at a fork, and leak.
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS},
    )
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _: Any) -> None:
    # The driver's own transactions would begin too late for a consistent read: `_begin` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # a row must not be lost after its mark was removed
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")
