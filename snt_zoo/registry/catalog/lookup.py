"""Questions to the catalog: reading alone, each in one short transaction that waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snt_zoo.errors import NewerRegistryError
from snt_zoo.registry.catalog import rows, vector_rows
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.filters import Filter, begins
from snt_zoo.registry.catalog.pages import Page, Place, page
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.tables import BUNDLES, FILES, SCHEMA_VERSION, SEEDED, STATE
from snt_zoo.registry.catalog.vectors import Maker, Vectors

_IDS_AT_ONCE = 500  # SQLite takes a bounded number of parameters


class Lookup:
    """What can be asked of a catalog.

    Args:
        path: of the database file.
        locate: gives the folder of a bundle's id.
    """

    def __init__(self, path: Path, *, locate: Callable[[str], Path]) -> None:
        self.path = path
        self.database = Database(path)
        self._locate = locate

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that sees one moment."""
        return self.database.read()

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that changes something besides bundles and vectors, whole or not at all."""
        return self.database.write()

    def version(self) -> int | None:
        """Schema version of the file; None if it is not there or has no tables yet.

        Raises:
            DamagedCatalogError: it cannot be read.
            NewerRegistryError: it was written by a newer snt-zoo.
        """
        if not self.path.exists():
            return None
        with self.read() as connection:
            if not sa.inspect(connection).has_table(STATE.name):
                return None
            version = int(connection.scalar(_state("schema_version")) or 0)
        if version > SCHEMA_VERSION:
            raise NewerRegistryError(
                f"the catalog {self.path} has schema version {version}, this snt-zoo reads up to "
                f"{SCHEMA_VERSION}: upgrade snt-zoo, or set SNT_ZOO_HOME to another folder"
            )
        return version

    def seeded(self) -> set[str]:
        """Digests of the starter bundles that were added once, also if they were removed since."""
        with self.read() as connection:
            return set(connection.scalars(sa.select(SEEDED.c.digest)))

    def get(self, id: str) -> Record | None:
        """The record of exactly that id."""
        return next(iter(self._records([BUNDLES.c.id == id])), None)

    def get_all(self, ids: Sequence[str]) -> dict[str, Record]:
        """The records of these ids; one that is not there is left out."""
        found: dict[str, Record] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            part = ids[start : start + _IDS_AT_ONCE]
            found |= {record.id: record for record in self._records([BUNDLES.c.id.in_(part)])}
        return found

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """The digests of these ids; one that is not there is left out."""
        if not ids:
            return {}
        with self.read() as connection:
            return vector_rows.digests(connection, ids)

    def select(self, where: Filter) -> list[Record]:
        """The records that fit, by name and id."""
        return self._records(where.conditions())

    def page(self, where: Filter, *, sort: str, after: Place | None, limit: int) -> Page:
        """Some of the records that fit, and how many there are; see `pages.page`."""
        with self.read() as connection:
            return page(connection, where, self._locate, sort=sort, after=after, limit=limit)

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these ids, ``n x dim`` each; one without any is left out."""
        with self.read() as connection:
            return vector_rows.of_bundles(connection, ids)

    def children(self, id: str) -> list[Record]:
        """The records of the bundles whose training began with that one."""
        return self._records([BUNDLES.c.parent == id])

    def ids(self, where: Filter) -> set[str]:
        """The ids of the bundles that fit."""
        with self.read() as connection:
            return set(connection.scalars(sa.select(BUNDLES.c.id).where(*where.conditions())))

    def is_listed(self, id: str) -> bool:
        """Whether there is a row of exactly that id; works on catalogs of every version."""
        with self.read() as connection:
            return connection.scalar(sa.select(BUNDLES.c.id).where(BUNDLES.c.id == id)) is not None

    def exists(self, *conditions: sa.ColumnElement[bool]) -> bool:
        """Whether a bundle is there that meets the conditions."""
        with self.read() as connection:
            return connection.scalar(sa.select(BUNDLES.c.id).where(*conditions).limit(1)) is not None

    def count(self) -> int:
        """How many bundles there are."""
        with self.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(BUNDLES)) or 0)

    def names(self, prefix: str | None = None) -> list[tuple[str, str]]:
        """Id and name of every bundle; of those only whose id begins so, or that have that name."""
        query = sa.select(BUNDLES.c.id, BUNDLES.c.name)
        if prefix is not None:
            query = query.where(sa.or_(BUNDLES.c.name == prefix, begins(BUNDLES.c.id, prefix)))
        with self.read() as connection:
            return [(id, name) for id, name in connection.execute(query)]

    def versions(self, name: str) -> dict[str, str]:
        """Digest and id of every bundle of a name."""
        query = sa.select(BUNDLES.c.digest, BUNDLES.c.id).where(BUNDLES.c.name == name)
        with self.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def files(self) -> dict[str, int]:
        """Sha256 and size of every file that a bundle has; one that several share counts once."""
        with self.read() as connection:
            query = sa.select(FILES.c.sha256, FILES.c.size).distinct()
            return {row[0]: row[1] for row in connection.execute(query)}

    def limit(self) -> int | None:
        """Most bytes that the bundles may take."""
        with self.read() as connection:
            found: int | None = connection.scalar(_state("max_bytes"))
            return found

    def revision(self) -> int:
        """A number that every change counts up."""
        with self.read() as connection:
            return int(connection.scalar(_state("revision")) or 0)

    def maker(self, *, without: str | None = None) -> Maker | None:
        """What made the vectors (of all bundles but one); None if there are none."""
        with self.read() as connection:
            return vector_rows.maker(connection, without=without)

    def _records(self, conditions: Sequence[sa.ColumnElement[bool]]) -> list[Record]:
        with self.read() as connection:
            return rows.records(connection, conditions, self._locate)


def _state(key: str) -> sa.Select[Any]:
    return sa.select(STATE.c.value).where(STATE.c.key == key)
