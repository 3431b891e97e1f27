"""How bundles come into a registry and leave it: every change to the store and the catalog.

A change goes through a mark, the folder and then one transaction of the catalog, under a lock
between processes. A failure at any point leaves the registry as it was; a crash is settled by the
next change or opening (see `store`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from snt_zoo.errors import AlreadyInRegistryError, IntegrityError, NotInRegistryError
from snt_zoo.registry.bundle import bundle_id, read_bundle, read_header
from snt_zoo.registry.catalog import Catalog
from snt_zoo.registry.guards import MANIFEST, read_file
from snt_zoo.registry.records import Record
from snt_zoo.registry.schema import BundleConfig
from snt_zoo.registry.store import Store
from snt_zoo.registry.vectors import Embed, Maker, Vectors, embeddings


class Intake:
    """The changes to a store and its catalog.

    Args:
        store: of the folders.
        catalog: of the rows.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def add(self, folder: Path, *, embed: Embed, encoder: str | None) -> Record:
        """See `Registry.add`."""
        with self._changing():
            return self._add(folder, embed, encoder, seeded=False)

    def seed(self, folders: Iterable[Path], *, embed: Embed, encoder: str | None) -> int:
        """See `Registry.seed`."""
        digests = {hashlib.sha256(read_file(folder, MANIFEST)).hexdigest(): folder for folder in folders}
        if digests.keys() <= self._catalog.seeded():
            return 0
        added = 0
        with self._changing():
            seeded = self._catalog.seeded()  # another process may have been faster
            for digest, folder in digests.items():
                if digest in seeded:
                    continue
                try:
                    self._add(folder, embed, encoder, seeded=True)
                    added += 1
                except AlreadyInRegistryError:
                    config, _, _ = read_header(folder)
                    self._catalog.mark_seeded(digest, bundle_id(config, digest))
        return added

    def remove(self, id: str) -> None:
        """See `Registry.remove`."""
        with self._changing():
            if not self._is_listed(id):
                raise NotInRegistryError(f"{id} was removed by another process meanwhile")
            self._store.mark(id)
            try:
                self._catalog.delete(id)
            finally:
                self._store.settle(id, listed=self._is_listed(id))

    def relist(self, *, embed: Embed, encoder: str | None) -> None:
        """Make all rows and vectors anew from the store; see `Registry.rebuild_index`."""
        with self._changing():
            entries: list[tuple[Record, Vectors]] = []
            for id in self._store.ids():
                entries.append(self._relist(id, embed, encoder))
                _maker(*entries[0]).check(_maker(*entries[-1]))
            self._catalog.replace(entries)

    def recover(self) -> None:
        """Settle what a crash left, unless another process is at work: then it has done so."""
        if self._store.is_settled():
            return
        with self._store.lock(wait=False) as held:
            if held:
                self._store.recover(self._is_listed)

    def _add(self, folder: Path, embed: Embed, encoder: str | None, *, seeded: bool) -> Record:
        with self._store.staged(folder) as (bundle, copy):
            if self._is_listed(bundle.id):
                raise AlreadyInRegistryError(
                    f"{bundle.id} is in the registry already: see `snt-zoo show {bundle.id}`, or "
                    "remove it first"
                )
            record = self._record(bundle.config, bundle.digest, encoder, added_at=_now())
            vectors = embeddings(bundle.sketches, embed)
            held = self._catalog.maker()
            if held is not None:
                held.check(_maker(record, vectors))
            self._store.mark(record.id)
            try:
                self._store.put(copy, record.id)
                self._catalog.insert(record, vectors, seeded=seeded)
            finally:
                # The row decides, also when the failure came from the catalog itself: then this
                # fails too, and the mark stays for whoever comes next.
                self._store.settle(record.id, listed=self._is_listed(record.id))
        return record

    def _relist(self, id: str, embed: Embed, encoder: str | None) -> tuple[Record, Vectors]:
        path = self._store.path(id)
        known = self._catalog.get(id)
        if known is None:
            read_bundle(path)  # nobody vouches for this folder: everything is checked
        config, sketches, digest = read_header(path)
        if bundle_id(config, digest) != id:
            raise IntegrityError(f"{path} holds the bundle {bundle_id(config, digest)}: move the folder away")
        added_at = _now() if known is None else known.added_at
        record = self._record(config, digest, encoder, added_at=added_at)
        return record, embeddings(sketches, embed)

    def _record(self, config: BundleConfig, digest: str, encoder: str | None, *, added_at: str) -> Record:
        id = bundle_id(config, digest)
        return Record.of(
            config,
            id=id,
            digest=digest,
            encoder=encoder or config.encoder,
            added_at=added_at,
            path=self._store.path(id),
        )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._store.lock():
            self._store.recover(self._is_listed)
            yield

    def _is_listed(self, id: str) -> bool:
        return self._catalog.get(id) is not None


def _maker(record: Record, vectors: Vectors) -> Maker:
    return Maker(record.backbone, record.encoder, vectors.shape[1])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
