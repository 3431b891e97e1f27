"""What keeps a registry in order: which bundle is meant, verification, gc, limits, checkouts.

One half of the facade; `registry` has the other, for which the registry is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from snt_zoo.errors import BundleError, NotInRegistryError, RegistryError
from snt_zoo.registry.backup import BackedUp, back_up
from snt_zoo.registry.catalog.aliases import Aliases
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.limits import Usage, usage
from snt_zoo.registry.catalog.lineage import Lineage, lineage
from snt_zoo.registry.catalog.naming import resolve, resolve_version
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep.collecting import Collected, collect
from snt_zoo.registry.upkeep.intake import Intake

if TYPE_CHECKING:
    from snt_zoo.encoders.embedding import DatasetEncoder
    from snt_zoo.registry.index.nearest import NearestBundles
    from snt_zoo.registry.upkeep.verification import Verification

_Read = TypeVar("_Read")


class Household:
    """The upkeep of a registry."""

    def __init__(self, store: Store, catalog: Catalog, encoder: DatasetEncoder) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = Intake(store, catalog, encoder)
        self.encoder = encoder
        self.aliases = Aliases(catalog.database)

    @cached_property
    def _nearest(self) -> NearestBundles:
        from snt_zoo.registry.index.nearest import (
            NearestBundles,  # here, as a list of supernets needs no faiss
        )

        return NearestBundles(self._catalog.database, self.home / "index")

    @property
    def home(self) -> Path:
        """The registry's folder."""
        return self._store.root

    @property
    def address(self) -> str:
        """Where the registry is: its folder, or the URL of its service."""
        return str(self.home)

    def resolve(self, text: str) -> str:
        """The id that a person means: an id, a name, the start of one id, `NAME@ALIAS` or
        `NAME@DIGEST`, of which the start is enough.

        Raises:
            NotInRegistryError: nothing fits, or several do; says which come close.
        """
        name, at, version = text.partition("@")
        if not text.isprintable():  # nor could the database be asked for half of a surrogate pair
            return resolve(text, [])
        if at:
            aliases = {alias.alias: alias.id for alias in self.aliases.all(name)}
            return resolve_version(name, version, aliases, self._catalog.versions(name))
        return resolve(text, self._catalog.names(text) or self._catalog.names())

    def show(self, id: str) -> Record:
        """The record of a bundle; raises `NotInRegistryError`."""
        record = self._catalog.get(id)
        if record is None:
            meant = self.resolve(id)  # raises with a hint, unless a name or a start was given
            raise NotInRegistryError(f"no supernet of id {id!r}: did you mean {meant}?")
        return record

    def lineage(self, id: str) -> Lineage:
        """Where a supernet comes from and what came of it; raises `NotInRegistryError`."""
        return lineage(self._catalog, self.show(id))

    def verify(
        self,
        id: str | None = None,
        *,
        repair: bool = False,
        on_bundle: Callable[[int, int], None] = lambda done, all: None,
    ) -> Verification:
        """Check every hash, the catalog against the disk and the index against the catalog.

        Args:
            id: of one bundle; None for everything.
            repair: make again what can be made again, and move what cannot be used to `quarantine/`.
            on_bundle: called with how many bundles are done, of how many.

        Raises:
            NotInRegistryError: there is no such bundle.
            DamagedCatalogError: see `rescue`.
        """
        from snt_zoo.registry.upkeep.verification import verify

        if id is not None:
            self.show(id)
        return verify(self._intake, self._nearest, id, repair=repair, on_bundle=on_bundle)

    def gc(self, *, dry_run: bool = False) -> Collected:
        """Delete blobs that no bundle needs and what crashes left; equal files are kept once again."""
        with self._store.lock():
            return collect(self._store, self._catalog, dry_run=dry_run)

    def checkout(self, id: str, folder: str | os.PathLike[str]) -> Path:
        """Copy a bundle into a folder of its own, from which `add` takes it; see `copy_bundle`."""
        from snt_zoo.registry.bundle.bundle import copy_bundle

        return self._read(id, lambda record: copy_bundle(record.path, Path(folder), digest=record.digest))

    def folder(self, id: str) -> Path:
        """The folder in which the files of a bundle stand, not to be written to; raises as `show` does."""
        return self.show(id).path

    def backup(self, target: str | os.PathLike[str]) -> BackedUp:
        """Write a backup while the registry is in use; see `backup.back_up`."""
        return back_up(self._store, self._catalog, Path(target))

    def held(self) -> AbstractContextManager[None]:
        """For as long as a service runs: see `Database.held`."""
        return self._catalog.database.held()

    def usage(self) -> Usage:
        """Bytes of the bundles, and the limit."""
        return usage(self._catalog)

    def set_limit(self, limit: int | None) -> Usage:
        """Let the bundles take at most so many bytes; None takes the limit away. Nothing is deleted.

        Raises:
            RegistryError: the limit is no number of bytes.
        """
        if limit is not None and not 1 <= limit < 2**63:
            raise RegistryError(f"a limit must be at least 1 byte, and less than 2**63, got {limit}")
        self._catalog.set_limit(limit)
        return self.usage()

    def _read(self, id: str, read: Callable[[Record], _Read]) -> _Read:
        record = self.show(id)
        try:
            return read(record)
        except BundleError:
            # Removed while it was read? Then that is the reason; and if it was added again, it is whole.
            record = self.show(id)
            try:
                return read(record)
            except BundleError as error:
                raise type(error)(f"{record.id}: {error}") from error
