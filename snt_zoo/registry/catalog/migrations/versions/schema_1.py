"""Schema 1, of snt-zoo 0.1: bundles in folders, their rows and vectors.

Steps stand for themselves: they import nothing of this package, which will have changed when they
run.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make the tables as snt-zoo 0.1 did."""
    op.create_table(
        "bundles",
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
    op.create_table(
        "vectors",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bundle", sa.ForeignKey("bundles.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "seeded",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
    )
    op.create_table(
        "state",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
    )
    state = sa.table("state", sa.column("key"), sa.column("value"))
    op.bulk_insert(state, [{"key": "schema_version", "value": 1}, {"key": "revision", "value": 0}])
