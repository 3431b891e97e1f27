"""How the index keeps up with the catalog.

An open registry holds an index of one state of the catalog. After a change, whoever made it, the vectors
that came since are added in memory; what was removed stays in the index, and the catalog leaves it out of
the answers. When much has come or gone, the file is brought up to date by whoever searches next, one process
at a time: in a copy where the number of lists still fits the rule, else from nothing. Without leave to
write, the index stays in memory.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
import sqlalchemy as sa

from snt_zoo.errors import ReadOnlyRegistryError, StaleIndexError
from snt_zoo.registry.catalog import vector_rows as rows
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.vectors import Ids, Maker
from snt_zoo.registry.index.base_index import ids_in, keep_only, lists_of, make_base
from snt_zoo.registry.index.index_file import IndexFile, Label
from snt_zoo.registry.index.index_rule import calibrate, lists_for, sample_size
from snt_zoo.registry.index.vector_index import VectorIndex

RECENT_LIMIT = 4096  # vectors outside the file: read in 10 ms, compared in 0.1 ms
_FAR = 8 * RECENT_LIMIT  # so many are taken into memory while another process writes the file
_DEAD_SHARE = 0.25  # of the vectors, before what was removed is taken out of the index
_CHECKED = 64  # vectors that are compared with the file
_SAME = 0.999  # cosine of a vector and what half floats make of it, at least


@dataclass(frozen=True, eq=False)
class _Held:
    """An index in memory.

    Args:
        state: of the catalog that it is of.
        newest: largest id that it could have.
        index: all vectors up to there, and maybe some that were removed.
    """

    state: rows.State
    newest: int
    index: VectorIndex

    @classmethod
    def of(cls, label: Label, base: faiss.Index) -> _Held:
        state = rows.State(label.generation, label.revision)
        return cls(state, label.newest, VectorIndex.of(label.maker, base))


class IndexUpkeep:
    """The index of a catalog, in memory and on the disk."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._file = IndexFile(folder)
        self._guard = threading.RLock()
        self._held: _Held | None = None

    @property
    def state(self) -> rows.State | None:
        """Of the catalog that the index in memory is of."""
        held = self._held
        return None if held is None else held.state

    def current(self, connection: sa.Connection, *, at_once: bool = False) -> VectorIndex | None:
        """The index of what a transaction sees.

        Args:
            connection: of the transaction.
            at_once: take all that is new into memory, however much it is.

        Returns:
            None if there are no vectors, or so many came or went that `bring_up_to_date` should be
            called first, outside the transaction.
        """
        with self._guard:
            state = rows.state(connection)
            if self._held is not None and self._held.state == state:
                return self._held.index
            maker = rows.maker(connection)
            if maker is None:
                return None
            self._held = held = self._nearest_to(state, maker)
            if not at_once and _is_behind(connection, held):
                return None
            index = held.index
            for ids, vectors in rows.chunks(connection, after=held.newest):
                index = index.with_added(ids, vectors, maker=maker)
            self._held = _Held(state, max(held.newest, rows.newest(connection)), index)
            return index

    def bring_up_to_date(self) -> None:
        """Write the file anew if it is much behind; if another process does so, wait only if it must."""
        try:
            rows.name_catalog(self._database)
        except ReadOnlyRegistryError:  # it stays in memory
            return
        with self._guard:
            with self._database.read() as connection:
                newest = -1 if self._held is None else self._held.newest
                far = rows.count(connection, after=newest) > _FAR
            with self._file.lock(wait=far) as is_mine:
                if is_mine:
                    self._write()

    def rebuild(self) -> int:
        """Build the index from nothing; returns the number of vectors."""
        with self._guard:
            with self._file.lock(wait=True):
                self._file.discard()
            self._held = None
        with self._database.read() as connection:
            count = rows.count(connection)
        if count > RECENT_LIMIT:
            self.bring_up_to_date()
        return count

    def problems(self) -> list[str]:
        """Where the file differs from the catalog."""
        with self._database.read() as connection:
            state, maker = rows.state(connection), rows.maker(connection)
            if maker is None:
                return []
            try:
                found = self._file.read(state, maker)
            except StaleIndexError as error:
                return [str(error)]
            if found is None:
                return []
            label, base = found
            ids = rows.matching(connection)
            ids = ids[ids <= label.newest]
            if lost := len(np.setdiff1d(ids, ids_in(base))):
                return [f"{self._file.folder} lacks {lost} vectors of the catalog: it is to be made anew"]
            checked = np.sort(np.random.default_rng(0).permutation(ids)[:_CHECKED])
            vectors, index = rows.fetch(connection, checked), VectorIndex.of(maker, base)
        for id, vector in zip(checked, vectors, strict=True):
            if index.search(vector, 1, maker=maker, allowed=np.array([id]))[1] < _SAME:
                return [f"{self._file.folder} has another vector {id} than the catalog: make it anew"]
        return []

    def _nearest_to(self, state: rows.State, maker: Maker) -> _Held:
        """What there is already for a state of the catalog: in memory, in the file, or nothing."""
        held = self._held
        if (
            held is not None
            and held.state.generation == state.generation
            and held.state.revision <= state.revision
            and held.index.maker == maker
        ):
            return held
        found = self._read_file(state, maker)
        return found or _Held(replace(state, revision=-1), -1, VectorIndex.of(maker))

    def _read_file(self, state: rows.State, maker: Maker) -> _Held | None:
        with contextlib.suppress(StaleIndexError):
            found = self._file.read(state, maker)
            return None if found is None else _Held.of(*found)
        return None

    def _write(self) -> None:
        """Make the file one of the catalog as it is now; under the lock."""
        with self._database.read() as connection:
            state, maker = rows.state(connection), rows.maker(connection)
            count, newest = rows.count(connection), rows.newest(connection)
            if maker is None or count <= RECENT_LIMIT:
                self._held = None
                self._file.discard()
                return
            self._held = self._read_file(state, maker)
            if self._held is not None and not _is_behind(connection, self._held):
                return  # another process was faster
            base = self._updated(connection, state, maker, lists_for(count))
            if base is None:
                base = _built(connection, maker, lists_for(count))
        label = Label.of(state, newest, maker)
        self._held = _Held.of(label, base)
        with contextlib.suppress(OSError):  # then it stays in memory
            self._file.write(base, label)
            self._held = self._read_file(state, maker)

    def _updated(
        self, connection: sa.Connection, state: rows.State, maker: Maker, lists: int
    ) -> faiss.Index | None:
        """What the file holds, without what was removed and with what came; None if that cannot be."""
        try:
            found = self._file.read(state, maker, copy=True)
        except StaleIndexError:
            return None
        if found is None or lists_of(found[1]) != lists:
            return None
        label, base = found
        members = np.zeros(label.newest + 1, dtype=np.bool_)
        alive = rows.matching(connection)
        members[alive[alive <= label.newest]] = True
        keep_only(base, members)
        for ids, vectors in rows.chunks(connection, after=label.newest):
            base.add_with_ids(vectors, ids)
        return base


def _built(connection: sa.Connection, maker: Maker, lists: int) -> faiss.Index:
    """An index of all vectors of the catalog."""
    ids: Ids = np.random.default_rng(0).permutation(rows.matching(connection))
    sample = rows.fetch(connection, ids[: sample_size(lists)])
    base = make_base(maker.dim, lists, sample)
    for chosen, vectors in rows.chunks(connection):
        base.add_with_ids(vectors, chosen)
    calibrate(base, sample)
    return base


def _is_behind(connection: sa.Connection, held: _Held) -> bool:
    """Whether too much came or went since."""
    new, total = rows.count(connection, after=held.newest), rows.count(connection)
    dead = len(held.index) + new - total
    recent = len(held.index.recent_ids) + new
    return recent > RECENT_LIMIT or dead > max(RECENT_LIMIT, _DEAD_SHARE * total)
