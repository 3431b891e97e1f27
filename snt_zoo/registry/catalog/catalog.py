"""The catalog: what the registry holds, in SQLite through SQLAlchemy.

It is the truth of the registry. One row for each bundle, one for each vector. Every change is one
short transaction; one that touches bundles or vectors also counts up a revision, by which an open
registry sees that another process changed something. Bundles come and go under the store's lock;
reading needs none (WAL: readers and a writer do not wait for each other), and aliases and tags need
only SQLite's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry.bundle.manifest import FileEntry
from snt_zoo.registry.catalog import aliases, rows
from snt_zoo.registry.catalog.lookup import Lookup
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.rows import Listing
from snt_zoo.registry.catalog.tables import ALEMBIC, BUNDLES, METADATA, SCHEMA_VERSION, SEEDED, STATE, TAGS
from snt_zoo.registry.catalog.vectors import Vectors

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.schema import BundleConfig


_AT_ONCE = 1000
"""Bundles whose rows are in memory at once."""


class Catalog(Lookup):
    """The database file: every question of `Lookup`, and every change."""

    def prepare(self) -> None:
        """Make the tables; only under the store's lock."""
        self.database.use_wal()
        with self.write() as connection:
            METADATA.create_all(connection)
            connection.execute(ALEMBIC.insert().values(version_num=str(SCHEMA_VERSION)))
            values = {"schema_version": SCHEMA_VERSION, "revision": 0}
            connection.execute(STATE.insert(), [{"key": k, "value": v} for k, v in values.items()])

    def insert(
        self,
        record: Record,
        vectors: Vectors,
        *,
        config: BundleConfig | None = None,
        files: Mapping[str, FileEntry] | None = None,
        seeded: bool = False,
        names: Iterable[str] = (aliases.LATEST,),
    ) -> None:
        """Add a bundle with its vectors, ``n x dim``, and let these aliases of its name stand for it."""
        with self._change() as connection:
            rows.insert(connection, [Listing(record, vectors, config, files or {})])
            for alias in names:
                aliases.move(connection, record.name, alias, record.id, why=f"{record.id}{aliases.ADDED}")
            if seeded:
                _insert_seeded(connection, record.digest, record.id)

    def replace(self, listings: Iterable[Listing]) -> None:
        """Put these bundles in the place of all that are there; aliases of those that stay, stay."""
        with self._change() as connection:
            listings = list(listings)
            staying = {listing.record.id for listing in listings}
            for gone in set(connection.scalars(sa.select(BUNDLES.c.id))) - staying:
                _delete(connection, gone)
            connection.execute(BUNDLES.delete())
            for start in range(0, len(listings), _AT_ONCE):
                rows.insert(connection, listings[start : start + _AT_ONCE])

    def relist(self, listing: Listing) -> None:
        """Make the rows of one bundle anew, or for the first time; its aliases stay."""
        id = listing.record.id
        with self._change() as connection:
            connection.execute(BUNDLES.delete().where(BUNDLES.c.id == id))
            rows.insert(connection, [listing])

    def delete(self, id: str) -> None:
        """Take a bundle, its vectors and its aliases out."""
        with self._change() as connection:
            _delete(connection, id)

    def retag(self, id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Give a bundle tags, and take some away; raises `NotInRegistryError`."""
        with self.write() as connection:
            if connection.scalar(sa.select(BUNDLES.c.id).where(BUNDLES.c.id == id)) is None:
                raise NotInRegistryError(f"{id} was removed by another process meanwhile")
            for tag in remove:
                connection.execute(TAGS.delete().where(TAGS.c.bundle == id, TAGS.c.tag == tag))
            for tag in add:
                connection.execute(TAGS.insert().prefix_with("OR IGNORE").values(bundle=id, tag=tag))

    def mark_seeded(self, digest: str, id: str) -> None:
        """Note that a starter bundle was offered to this registry."""
        with self._change() as connection:
            _insert_seeded(connection, digest, id)

    def set_limit(self, limit: int | None) -> None:
        """Most bytes that the bundles may take; None takes the limit away."""
        with self.write() as connection:
            connection.execute(STATE.delete().where(STATE.c.key == "max_bytes"))
            if limit is not None:
                connection.execute(STATE.insert().values(key="max_bytes", value=limit))

    @contextlib.contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        with self.write() as connection:
            yield connection
            connection.execute(
                STATE.update().where(STATE.c.key == "revision").values(value=STATE.c.value + 1)
            )


def _insert_seeded(connection: sa.Connection, digest: str, id: str) -> None:
    connection.execute(SEEDED.insert().prefix_with("OR REPLACE").values(digest=digest, id=id))


def _delete(connection: sa.Connection, id: str) -> None:
    aliases.leave(connection, id)
    connection.execute(BUNDLES.delete().where(BUNDLES.c.id == id))
