"""Mending what `inspection` finds, as far as it can be made again from what is still good.

Rows and vectors follow from the bundles; a damaged file can be taken from its blob, and a folder that
is gone from the blobs of its files. A bundle of which a file is nowhere good is moved to
`quarantine/`, as are folders that are no bundles: nothing is ever deleted that might be wanted. Only
under the store's lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from snt_zoo.errors import BundleError, IndexMismatchError, RegistryError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.bundle.fields import is_id
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.catalog import aliases
from snt_zoo.registry.catalog.tables import FILES
from snt_zoo.registry.catalog.vectors import Maker
from snt_zoo.registry.store.blobs import has_hash, is_sha256
from snt_zoo.registry.upkeep.inspection import Inspection, Problem
from snt_zoo.registry.upkeep.intake import Intake


class Repair:
    """Repairs of a store and its catalog."""

    def __init__(self, intake: Intake) -> None:
        self._store = intake.store
        self._catalog = intake.catalog
        self._intake = intake

    def bundle(self, id: str) -> list[Problem]:
        """Mend one bundle; returns what was wrong with it, and what was done."""
        found = self._problems(id)
        done: list[Problem] = []
        for kind, mend in (
            ("files", self._mend_files),
            ("unlisted", self._list_anew),
            ("row", self._list_anew),
            ("vectors", self._list_anew),
        ):
            wrong = [problem for problem in self._problems(id) if problem.kind == kind]
            if wrong:
                how = mend(id)
                done += [replace(problem, repaired=how) for problem in wrong]
        return done or found

    def blob(self, problem: Problem) -> Problem:
        """Delete a damaged blob: the bundles that need its content have it themselves, or were mended."""
        self._store.blobs.path(problem.where).unlink(missing_ok=True)
        return replace(problem, repaired="deleted; `snt-zoo gc` shares the files of bundles anew")

    def stranger(self, problem: Problem) -> Problem:
        """Move away what stands among the bundles and is none."""
        path = next((path for path in self._store.strangers() if path.name == problem.where), None)
        return (
            problem if path is None else replace(problem, repaired=f"moved to {self._store.move_aside(path)}")
        )

    def orphans(self, problem: Problem) -> Problem:
        """Delete rows that belong to nothing; damaged pages are not mended in place."""
        with self._catalog.write() as connection:
            rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            for table, rowid, *_ in rows:
                connection.execute(sa.text(f'DELETE FROM "{table}" WHERE rowid = :row'), {"row": rowid})
        if problem.what in self._catalog.database.problems():
            return problem
        return replace(problem, repaired="the row was deleted")

    def makers(self, problems: Sequence[Problem]) -> list[Problem]:
        """Make every vector anew, by one encoder."""
        try:
            self._intake.relist()
        except (BundleError, RegistryError) as error:
            return [replace(problem, what=f"{problem.what}; not mended: {error}") for problem in problems]
        return [replace(problem, repaired="all vectors were made anew") for problem in problems]

    def _problems(self, id: str) -> list[Problem]:
        return list(Inspection(self._store, self._catalog, self._intake.encoder).bundle(id))

    def _mend_files(self, id: str) -> str:
        with self._catalog.read() as connection:
            query = sa.select(FILES.c.name, FILES.c.sha256).where(FILES.c.bundle == id)
            hashes = {row[0]: row[1] for row in connection.execute(query) if row[0] in FILE_LIMITS}
        with self._store.workplace() as made:
            whole = self._gather(id, hashes, made)
            # Before the new one is put in place: somebody may have changed it on purpose.
            away = self._store.set_aside(id) if os.path.lexists(self._store.path(id)) else None
            if whole:
                self._store.put(made, id, hashes)
                kept = "" if away is None else f"; the folder as it was is now {away}"
                return f"its files were put together from what is good of them and from the blobs{kept}"
        self._catalog.delete(id)
        if away is None:
            return "its row was deleted, since its files are gone; add it again if you have it elsewhere"
        return f"moved to {away}, since a file is nowhere good; add it again if you have it elsewhere"

    def _gather(self, id: str, hashes: dict[str, str], made: Path) -> bool:
        """Copy what is good of a bundle's files into a folder; False if a file is nowhere to be had."""
        if hashes.keys() != FILE_LIMITS.keys() or not all(map(is_sha256, hashes.values())):
            return False
        folder = self._store.path(id)
        for name, sha256 in hashes.items():
            choice = (folder / name, self._store.blobs.path(sha256))
            good = next((path for path in choice if has_hash(path, sha256)), None)
            if good is None:
                return False
            shutil.copyfile(good, made / name)
        sync_folder(made)
        return True

    def _list_anew(self, id: str) -> str | None:
        if not is_id(id):
            self._catalog.delete(id)
            return "its row was deleted, which is no supernet's; no file was touched"
        try:
            listing = self._intake.listing(id)
        except BundleError as error:
            away = self._store.set_aside(id)
            return f"moved to {away}: {error}"
        record = listing.record
        held = self._catalog.maker(without=id)
        if held is not None:
            try:
                held.check(Maker(record.backbone, record.encoder, listing.vectors.shape[1]))
            except IndexMismatchError:
                return None  # the check of all makers says what to do
        self._catalog.relist(listing)
        with self._catalog.write() as connection:
            aliases.recall(connection, id, why="found by verify --repair")
        return "its rows and vectors were made anew from its files"
