"""Schema 2: sources, tags and metrics in tables of their own, files, lineage, aliases and their moves.

What the new columns hold is read from the bundles' folders. One that cannot be read keeps its row,
with what the old row said; `snt-zoo verify` tells what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "2"
down_revision = "1"

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*-[0-9a-f]{8}")
_MOST_BYTES = 1_000_000  # of a config or a manifest


def upgrade() -> None:
    """Make the tables of schema 2 and fill them."""
    connection = op.get_bind()
    old = connection.execute(sa.text("SELECT * FROM bundles")).mappings().all()
    with op.batch_alter_table("bundles") as bundles:
        bundles.drop_column("sources")
        bundles.drop_column("tags")
        bundles.add_column(sa.Column("size", sa.Integer, nullable=False, server_default="0"))
        for name in ("parent", "seed", "code_version"):
            bundles.add_column(sa.Column(name, sa.Text))
    op.create_index("ix_bundles_digest", "bundles", ["digest"])
    op.create_index("ix_bundles_parent", "bundles", ["parent"])
    _create_tables()
    root = Path(context.config.attributes["bundles"])
    for row in old:
        if _ID.fullmatch(row["id"]):  # else `verify` tells of it, and no path is made of it
            _fill(connection, row, root / row["id"])
    for name, id, digest, added_at in _newest(old):
        _insert(connection, "aliases", [{"name": name, "alias": "latest", "bundle": id}])
        move = {"at": added_at, "name": name, "alias": "latest", "previous": None, "digest": digest}
        _insert(connection, "alias_moves", [move | {"by": "snt-zoo", "why": "the newest when aliases came"}])
    connection.execute(sa.text("UPDATE state SET value = 2 WHERE key = 'schema_version'"))


def _create_tables() -> None:
    def of_bundle() -> sa.Column[str]:
        return sa.Column("bundle", sa.Text, sa.ForeignKey("bundles.id", ondelete="CASCADE"), nullable=False)

    op.create_table(
        "sources",
        of_bundle(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False, index=True),
        sa.Column("source", sa.Text, nullable=False, server_default=""),
        sa.Column("fingerprint", sa.Text, nullable=False, server_default="", index=True),
        sa.PrimaryKeyConstraint("bundle", "position"),
    )
    op.create_table(
        "tags",
        of_bundle(),
        sa.Column("tag", sa.Text, nullable=False, index=True),
        sa.PrimaryKeyConstraint("bundle", "tag"),
    )
    op.create_table(
        "metrics",
        of_bundle(),
        sa.Column("name", sa.Text, nullable=False, index=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("bundle", "name"),
    )
    op.create_table(
        "files",
        of_bundle(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False, index=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("bundle", "name"),
    )
    bundle = sa.ForeignKey("bundles.id", deferrable=True, initially="DEFERRED")
    op.create_table(
        "aliases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, bundle, nullable=False, index=True),
        sa.PrimaryKeyConstraint("name", "alias"),
    )
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("digest", sa.Text),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Index("ix_alias_moves_name_alias", "name", "alias"),
        sqlite_autoincrement=True,
    )


def _fill(connection: sa.Connection, row: Any, folder: Path) -> None:
    id = row["id"]
    try:
        config = _read(folder / "config.json")
        training, metrics = config["training"], config["metrics"]
        sources = [(data["name"], data["source"], data["fingerprint"]) for data in training["datasets"]]
        lineage = {"parent": training["parent"], "seed": str(training["seed"])}
        lineage["code_version"] = training["code_version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        sources = [(name, "", "") for name in json.loads(row["sources"])]
        metrics = {"val_accuracy": row["val_accuracy"], "test_accuracy": row["test_accuracy"]}
        lineage = {}
    files = _files(folder, row["digest"])
    lineage["size"] = sum(file["size"] for file in files)
    values = ", ".join(f"{key} = :{key}" for key in lineage)
    connection.execute(sa.text(f"UPDATE bundles SET {values} WHERE id = :id"), lineage | {"id": id})
    _insert(connection, "sources", [
        {"bundle": id, "position": i, "name": name, "source": source, "fingerprint": fingerprint}
        for i, (name, source, fingerprint) in enumerate(sources)
    ])  # fmt: skip
    tags = dict.fromkeys(json.loads(row["tags"]))
    _insert(connection, "tags", [{"bundle": id, "tag": tag} for tag in tags])
    _insert(connection, "metrics", [
        {"bundle": id, "name": name, "value": float(value)}
        for name, value in metrics.items() if isinstance(value, int | float)
    ])  # fmt: skip
    _insert(connection, "files", [{"bundle": id} | file for file in files])


def _files(folder: Path, digest: str) -> list[dict[str, Any]]:
    try:
        raw = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(raw).hexdigest() != digest:
            return []
        listed = json.loads(raw)["files"]
        own = {"name": "manifest.json", "sha256": digest, "size": len(raw)}
        return [own] + [{"name": name, **entry} for name, entry in sorted(listed.items())]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("too large for a config")
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _newest(rows: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    newest: dict[str, Any] = {}
    for row in rows:  # in the order in which they were added
        if row["name"] not in newest or row["added_at"] >= newest[row["name"]]["added_at"]:
            newest[row["name"]] = row
    return [(name, row["id"], row["digest"], row["added_at"]) for name, row in newest.items()]


def _insert(connection: sa.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = ", ".join(f'"{name}"' for name in rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), rows)
