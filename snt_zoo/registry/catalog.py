"""The catalog: what the registry holds, in SQLite through SQLAlchemy.

It is the truth of the registry. One row for each bundle, one for each vector. Every change is one
short transaction that also counts up a revision, by which an open registry sees that another
process changed something. Changes are made under the store's lock; reading needs none (WAL: readers
and a writer do not wait for each other).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snt_zoo.errors import RegistryError
from snt_zoo.registry.records import Record
from snt_zoo.registry.tables import (
    BUNDLES,
    METADATA,
    SCHEMA_VERSION,
    SEEDED,
    STATE,
    VECTORS,
    open_database,
)
from snt_zoo.registry.vectors import Maker, Vectors


class Catalog:
    """The database file.

    Args:
        path: of the file.
        locate: gives the folder of a bundle's id.
    """

    def __init__(self, path: Path, *, locate: Callable[[str], Path]) -> None:
        self.path = path
        self._locate = locate
        self._engine = open_database(path)

    def is_ready(self) -> bool:
        """Whether the file is there with its tables.

        Raises:
            RegistryError: it is damaged, or was written by a newer snt-zoo.
        """
        if not self.path.exists():
            return False
        with self._transaction() as connection:
            if not sa.inspect(connection).has_table(STATE.name):
                return False
            version = connection.scalar(_state("schema_version"))
        if version != SCHEMA_VERSION:
            raise RegistryError(
                f"the catalog {self.path} has schema version {version}, this snt-zoo reads "
                f"{SCHEMA_VERSION}: upgrade snt-zoo, or set SNT_ZOO_HOME to another folder"
            )
        return True

    def prepare(self) -> None:
        """Make the tables; only under the store's lock."""
        with self._errors():
            raw = self._engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL")  # not within a transaction
            finally:
                raw.close()
        with self._transaction() as connection:
            METADATA.create_all(connection)
            connection.execute(
                STATE.insert(),
                [
                    {"key": "schema_version", "value": SCHEMA_VERSION},
                    {"key": "revision", "value": 0},
                ],
            )

    def insert(self, record: Record, vectors: Vectors, *, seeded: bool = False) -> None:
        """Add a bundle with its vectors, ``n x dim``."""
        with self._change() as connection:
            _insert(connection, record, vectors)
            if seeded:
                _insert_seeded(connection, record.digest, record.id)

    def replace(self, entries: Iterable[tuple[Record, Vectors]]) -> None:
        """Put these bundles in the place of all that are there."""
        with self._change() as connection:
            connection.execute(BUNDLES.delete())
            for record, vectors in entries:
                _insert(connection, record, vectors)

    def delete(self, id: str) -> None:
        """Take a bundle and its vectors out."""
        with self._change() as connection:
            connection.execute(BUNDLES.delete().where(BUNDLES.c.id == id))

    def mark_seeded(self, digest: str, id: str) -> None:
        """Note that a starter bundle was offered to this registry."""
        with self._change() as connection:
            _insert_seeded(connection, digest, id)

    def seeded(self) -> set[str]:
        """Digests of the starter bundles that were added once, also if they were removed since."""
        with self._transaction() as connection:
            return set(connection.scalars(sa.select(SEEDED.c.digest)))

    def get(self, id: str) -> Record | None:
        """The record of exactly that id."""
        with self._transaction() as connection:
            row = connection.execute(BUNDLES.select().where(BUNDLES.c.id == id)).first()
        return None if row is None else self._record(row)

    def select(
        self,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
    ) -> list[Record]:
        """The records within the bounds, by name and id."""
        query = BUNDLES.select().order_by(BUNDLES.c.name, BUNDLES.c.id)
        if space is not None:
            query = query.where(BUNDLES.c.space == space)
        if max_params is not None:
            query = query.where(BUNDLES.c.params <= max_params)
        if max_macs is not None:
            query = query.where(BUNDLES.c.macs <= max_macs)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [self._record(row) for row in rows]

    def names(self) -> list[tuple[str, str]]:
        """Id and name of every bundle."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(BUNDLES.c.id, BUNDLES.c.name)).all()
        return [(id, name) for id, name in rows]

    def revision(self) -> int:
        """A number that every change counts up."""
        with self._transaction() as connection:
            return int(connection.scalar(_state("revision")) or 0)

    def maker(self) -> Maker | None:
        """What made the vectors; None if there are none."""
        with self._transaction() as connection:
            return _maker(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment."""
        with self._transaction() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that changes something besides bundles and vectors, whole or not at all."""
        with self._transaction() as connection:
            yield connection

    def _record(self, row: sa.Row[Any]) -> Record:
        fields = dict(row._mapping)
        fields["sources"] = tuple(json.loads(fields["sources"]))
        fields["tags"] = tuple(json.loads(fields["tags"]))
        return Record(**fields, path=self._locate(fields["id"]))

    @contextlib.contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        with self._transaction() as connection:
            yield connection
            connection.execute(
                STATE.update().where(STATE.c.key == "revision").values(value=STATE.c.value + 1)
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            reason = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise RegistryError(
                f"the catalog {self.path} cannot be used: {reason}; if it is damaged, move it away "
                "and call Registry.rebuild_index(embed=…), which lists the bundles anew"
            ) from error


def _state(key: str) -> sa.Select[Any]:
    return sa.select(STATE.c.value).where(STATE.c.key == key)


def _maker(connection: sa.Connection) -> Maker | None:
    # One row speaks for all: an add of another maker is refused.
    size = sa.func.length(VECTORS.c.data)
    query = sa.select(BUNDLES.c.backbone, BUNDLES.c.encoder, size).join_from(VECTORS, BUNDLES)
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Maker(row[0], row[1], row[2] // 4)


def _insert(connection: sa.Connection, record: Record, vectors: Vectors) -> None:
    row = asdict(record)
    del row["path"]
    row["sources"], row["tags"] = json.dumps(record.sources), json.dumps(record.tags)
    connection.execute(BUNDLES.insert().values(row))
    data = [{"bundle": record.id, "data": vector.astype("<f4").tobytes()} for vector in vectors]
    connection.execute(VECTORS.insert(), data)


def _insert_seeded(connection: sa.Connection, digest: str, id: str) -> None:
    connection.execute(SEEDED.insert().prefix_with("OR REPLACE").values(digest=digest, id=id))
