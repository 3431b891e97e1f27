"""The bundles nearest to a vector: the index for candidates, the catalog for the truth.

The index may still hold what was removed, and knows nothing of constraints; its scores may be rounded. So
the catalog is asked for every candidate: it leaves out what is gone or does not meet the constraints, and
its vectors are scored exactly. If too few are left, more candidates are taken, and if few of them counted,
the index chooses among the allowed ones alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from snt_zoo.registry.catalog import vector_rows as rows
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index.index_upkeep import IndexUpkeep
from snt_zoo.registry.index.vector_index import VectorIndex

_WORTHWHILE = 0.25  # share of the candidates that count, below which the allowed ones are listed first
_KEPT = 8  # lists of allowed vectors


@dataclass(frozen=True, eq=False)
class _Wanted:
    """The arguments of `NearestBundles.search`."""

    vector: Vectors
    k: int
    maker: Maker
    allowed: AbstractSet[str] | None
    where: tuple[rows.Condition, ...]


class NearestBundles:
    """Search over the vectors of a catalog."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._upkeep = IndexUpkeep(database, folder)
        self._kept: dict[tuple[rows.State, str, str], Ids] = {}

    @property
    def state(self) -> rows.State | None:
        """Of the catalog, as the last search saw it."""
        return self._upkeep.state

    def rebuild(self) -> int:
        """Build the index anew; returns the number of vectors."""
        return self._upkeep.rebuild()

    def problems(self) -> list[str]:
        """Where the index file differs from the catalog; `rebuild` mends it."""
        return self._upkeep.problems()

    def search(
        self,
        vector: Vectors,
        k: int,
        *,
        maker: Maker,
        allowed: AbstractSet[str] | None = None,
        where: Sequence[rows.Condition] = (),
    ) -> list[tuple[str, float]]:
        """The bundles whose best sketch is nearest.

        Args:
            vector: ``dim``, of unit length.
            k: at most so many, at least 1.
            maker: what made the vector.
            allowed: ids to choose from; None for all.
            where: conditions on the table of bundles; unlike `allowed`, also where millions meet them.

        Returns:
            Ids and cosines, best first; of equals the smaller id.

        Raises:
            IndexMismatchError: the vector cannot be compared with the catalog's.
        """
        wanted = _Wanted(vector, k, maker, allowed, tuple(where))
        with self._database.read() as connection:
            index = self._upkeep.current(connection)
            if index is not None:
                return self._search(connection, index, wanted)
            if rows.maker(connection) is None:
                return []
        self._upkeep.bring_up_to_date()
        with self._database.read() as connection:
            index = self._upkeep.current(connection, at_once=True)
            return [] if index is None else self._search(connection, index, wanted)

    def _search(
        self, connection: sa.Connection, index: VectorIndex, wanted: _Wanted
    ) -> list[tuple[str, float]]:
        chosen: Ids | None = None
        # A bundle can have many sketches: more vectors are taken until k bundles are among them.
        count = min(len(index), 2 * wanted.k)
        while True:
            ids, _ = index.search(wanted.vector, count, maker=wanted.maker, allowed=chosen)
            best, counted = rows.best_of_bundles(
                connection, wanted.vector, ids, wanted.where, bundles=wanted.allowed
            )
            limit = len(index if chosen is None else chosen)
            if len(best) >= wanted.k or count >= limit:
                return sorted(best.items(), key=lambda answer: (-answer[1], answer[0]))[: wanted.k]
            if chosen is None and counted < _WORTHWHILE * count:
                chosen = self._chosen(connection, wanted)
                limit = len(chosen)
            count = min(limit, 4 * count)

    def _chosen(self, connection: sa.Connection, wanted: _Wanted) -> Ids:
        """The vectors that count; kept, as a service asks with the same constraints again and again."""
        if wanted.allowed is not None:
            return rows.matching(connection, wanted.where, bundles=wanted.allowed)
        conditions = sa.and_(sa.true(), *wanted.where).compile()
        key = (rows.state(connection), str(conditions), repr(sorted(conditions.params.items())))
        found = self._kept.get(key)
        if found is None:
            found = rows.matching(connection, wanted.where)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found
