"""How bundles come into a registry and leave it: every change to the store and the catalog.

A change goes through a mark, the folder and then one transaction of the catalog, under a lock
between processes. A failure at any point leaves the registry as it was; a crash is settled by the
next change or opening (see `store`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from snt_zoo.errors import AlreadyInRegistryError, IntegrityError, NotInRegistryError, RegistryError
from snt_zoo.registry.bundle.bundle import bundle_id, read_bundle, read_header
from snt_zoo.registry.bundle.folder import MANIFEST, read_file
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.catalog.aliases import LATEST
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.limits import check_room
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.rows import Listing
from snt_zoo.registry.catalog.vectors import Embed, Maker, embeddings
from snt_zoo.registry.store.store import Store


@dataclass(frozen=True)
class Label:
    """What this registry notes of a bundle beside what the bundle says.

    Args:
        tags: to add to its author's.
        aliases: of its name that are to stand for it, besides `latest`.
        seeded: it belongs to the starter zoo.
    """

    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    seeded: bool = False


class Intake:
    """The changes to a store and its catalog.

    Args:
        store: of the folders.
        catalog: of the rows.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def add(self, folder: Path, *, embed: Embed, encoder: str | None, label: Label) -> Record:
        """See `Registry.add`."""
        with self.changing():
            return self._add(folder, embed, encoder, label)

    def seed(self, folders: Iterable[Path], *, embed: Embed, encoder: str | None) -> int:
        """See `Registry.seed`."""
        digests = {hashlib.sha256(read_file(folder, MANIFEST)).hexdigest(): folder for folder in folders}
        if digests.keys() <= self._catalog.seeded():
            return 0
        added = 0
        with self.changing():
            seeded = self._catalog.seeded()  # another process may have been faster
            for digest, folder in digests.items():
                if digest in seeded:
                    continue
                try:
                    self._add(folder, embed, encoder, Label(seeded=True))
                    added += 1
                except AlreadyInRegistryError:
                    config, _, _ = read_header(folder)
                    self._catalog.mark_seeded(digest, bundle_id(config, digest))
        return added

    def remove(self, id: str) -> None:
        """See `Registry.remove`."""
        with self.changing():
            if not self._catalog.is_listed(id):
                raise NotInRegistryError(f"{id} was removed by another process meanwhile")
            self._store.mark(id)
            try:
                self._catalog.delete(id)
            finally:
                self._store.settle(id, listed=self._catalog.is_listed(id))

    def relist(self, *, embed: Embed, encoder: str | None) -> None:
        """Make all rows and vectors anew from the store; only within `changing`."""
        listings: list[Listing] = []
        for id in self._store.ids():
            listings.append(self.listing(id, embed=embed, encoder=encoder))
            _maker(listings[0]).check(_maker(listings[-1]))
        self._catalog.replace(listings)

    def recover(self) -> None:
        """Settle what a crash left, unless another process is at work: then it has done so."""
        if self._store.is_settled():
            return
        with self._store.lock(wait=False) as held:
            if held:
                self._store.recover(self._catalog.is_listed)

    def listing(self, id: str, *, embed: Embed, encoder: str | None) -> Listing:
        """What the catalog is to hold of a bundle that stands in the store; only under the lock.

        Raises:
            BundleError: it is damaged, or is another bundle than its folder's name says.
        """
        path = self._store.path(id)
        known = self._catalog.get(id)
        if known is None:
            read_bundle(path)  # nobody vouches for this folder: everything is checked
        config, sketches, digest = read_header(path)
        if bundle_id(config, digest) != id:
            raise IntegrityError(f"{path} holds the bundle {bundle_id(config, digest)}: move the folder away")
        files = read_manifest(path).all_files
        record = Record.of(
            config,
            id=id,
            digest=digest,
            encoder=encoder or config.encoder,
            added_at=_now() if known is None else known.added_at,
            path=path,
            size=sum(entry.size for entry in files.values()),
        )
        if known is not None:
            record = replace(record, tags=known.tags)
        return Listing(record, embeddings(sketches, embed), config, files)

    def _add(self, folder: Path, embed: Embed, encoder: str | None, label: Label) -> Record:
        with self._store.staged(folder) as (bundle, copy):
            self._refuse_twin(bundle.id, bundle.digest)
            manifest = read_manifest(copy)
            check_room(self._catalog, manifest.all_files)
            record = Record.of(
                bundle.config,
                id=bundle.id,
                digest=bundle.digest,
                encoder=encoder or bundle.config.encoder,
                added_at=_now(),
                path=self._store.path(bundle.id),
                size=sum(entry.size for entry in manifest.all_files.values()),
            )
            record = replace(record, tags=tuple(dict.fromkeys((*record.tags, *label.tags))))
            vectors = embeddings(bundle.sketches, embed)
            held = self._catalog.maker()
            if held is not None:
                held.check(_maker(Listing(record, vectors)))
            self._store.mark(record.id)
            try:
                self._store.put(copy, record.id, manifest.hashes)
                self._catalog.insert(
                    record,
                    vectors,
                    config=bundle.config,
                    files=manifest.all_files,
                    seeded=label.seeded,
                    names=(LATEST, *label.aliases),
                )
            finally:
                # The row decides, also when the failure came from the catalog itself: then this
                # fails too, and the mark stays for whoever comes next.
                self._store.settle(record.id, listed=self._catalog.is_listed(record.id))
        return replace(record, aliases=tuple(sorted({LATEST, *label.aliases})))

    def _refuse_twin(self, id: str, digest: str) -> None:
        known = self._catalog.get(id)
        if known is None:
            return
        if known.digest != digest:  # their first 32 bits are equal: by a chance in 2**32, or on purpose
            raise RegistryError(
                f"another bundle of id {id} is in the registry, with digest {known.digest}, this one has "
                f"{digest}: one of them may have been made to be taken for the other; remove that one first "
                "if it is this that you trust"
            )
        raise AlreadyInRegistryError(
            f"{id} is in the registry already: see `snt-zoo show {id}`, or remove it first"
        )

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Keep others from changing the registry, and settle what a crash left, before a change."""
        with self._store.lock():
            self._store.recover(self._catalog.is_listed)
            yield


def _maker(listing: Listing) -> Maker:
    return Maker(listing.record.backbone, listing.record.encoder, listing.vectors.shape[1])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
