"""The tables of the catalog.

A change of a table is a new `SCHEMA_VERSION` and a step in `migrations/versions/`, whose revision is
that number; a test holds the steps to what stands here.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 2

METADATA = sa.MetaData()


def _of_bundle() -> sa.Column[str]:
    """A column that names the bundle to which a row belongs, and with which it goes."""
    return sa.Column("bundle", sa.Text, sa.ForeignKey("bundles.id", ondelete="CASCADE"), nullable=False)


BUNDLES = sa.Table(
    "bundles",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("params", sa.Integer, nullable=False),
    sa.Column("macs", sa.Integer, nullable=False),
    sa.Column("supernet_params", sa.Integer, nullable=False),
    sa.Column("val_accuracy", sa.Float),
    sa.Column("test_accuracy", sa.Float),
    sa.Column("licence", sa.Text, nullable=False),
    sa.Column("backbone", sa.Text, nullable=False),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("added_at", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False, server_default="0"),
    sa.Column("parent", sa.Text, index=True),
    sa.Column("seed", sa.Text),  # up to 2**64, more than an INTEGER holds
    sa.Column("code_version", sa.Text),
)
VECTORS = sa.Table(
    "vectors",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bundle", sa.Text, sa.ForeignKey("bundles.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float32, little-endian
    sqlite_autoincrement=True,  # an id is never used again
)
SOURCES = sa.Table(
    "sources",
    METADATA,
    _of_bundle(),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("source", sa.Text, nullable=False, server_default=""),
    sa.Column("fingerprint", sa.Text, nullable=False, server_default="", index=True),
    sa.PrimaryKeyConstraint("bundle", "position"),
)
TAGS = sa.Table(
    "tags",
    METADATA,
    _of_bundle(),
    sa.Column("tag", sa.Text, nullable=False, index=True),
    sa.PrimaryKeyConstraint("bundle", "tag"),
)
METRICS = sa.Table(
    "metrics",
    METADATA,
    _of_bundle(),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.PrimaryKeyConstraint("bundle", "name"),
)
FILES = sa.Table(
    "files",
    METADATA,
    _of_bundle(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, index=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("bundle", "name"),
)
ALIASES = sa.Table(
    "aliases",
    METADATA,
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    # No cascade: an alias goes by a move, which is written down. Deferred, since rows are made anew.
    sa.Column(
        "bundle",
        sa.Text,
        sa.ForeignKey("bundles.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    sa.PrimaryKeyConstraint("name", "alias"),
)
MOVES = sa.Table(
    "alias_moves",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("previous", sa.Text),  # digests, so that a version that is gone can still be told
    sa.Column("digest", sa.Text),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Index("ix_alias_moves_name_alias", "name", "alias"),
    sqlite_autoincrement=True,
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
ALEMBIC = sa.Table(
    "alembic_version",  # alembic's own; here, so that a new catalog needs no alembic
    METADATA,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
