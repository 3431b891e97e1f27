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
from typing import TYPE_CHECKING

from snt_zoo.errors import (
    AlreadyInRegistryError,
    BundleError,
    IntegrityError,
    NotInRegistryError,
    RegistryError,
    leaving_out,
    warn,
)
from snt_zoo.registry.bundle.folder import MANIFEST, read_file
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.catalog.aliases import LATEST
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.limits import check_room
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.rows import Listing
from snt_zoo.registry.catalog.vectors import Maker, embeddings
from snt_zoo.registry.store.store import Store

if TYPE_CHECKING:
    from snt_zoo.encoders.embedding import DatasetEncoder


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
    """The changes to a store and its catalog."""

    def __init__(self, store: Store, catalog: Catalog, encoder: DatasetEncoder) -> None:
        self.store = store
        self.catalog = catalog
        self.encoder = encoder

    def add(self, folder: Path, label: Label) -> Record:
        """See `Registry.add`."""
        with self.changing():
            return self._add(folder, label)

    def seed(self, folders: Iterable[Path]) -> int:
        """See `Registry.seed`."""
        digests: dict[str, Path] = {}
        for folder in folders:
            with leaving_out(str(folder)):
                digests[hashlib.sha256(read_file(folder, MANIFEST)).hexdigest()] = folder
        if digests.keys() <= self.catalog.seeded():
            return 0
        added = 0
        with self.changing():
            seeded = self.catalog.seeded()  # another process may have been faster
            for digest, folder in digests.items():
                if digest in seeded:
                    continue
                try:
                    self._add(folder, Label(seeded=True))
                    added += 1
                except AlreadyInRegistryError:
                    from snt_zoo.registry.bundle.bundle import bundle_id, read_header

                    config, _, _ = read_header(folder)
                    self.catalog.mark_seeded(digest, bundle_id(config, digest))
                except BundleError as error:
                    warn(f"left out {folder}: {error}")
        return added

    def remove(self, id: str) -> None:
        """See `Registry.remove`."""
        with self.changing():
            if not self.catalog.is_listed(id):
                raise NotInRegistryError(f"{id} was removed by another process meanwhile")
            self.store.mark(id)
            try:
                self.catalog.delete(id)
            finally:
                self.store.settle(id, listed=self.catalog.is_listed(id))

    def relist(self) -> None:
        """Make all rows and vectors anew from the store; only within `changing`."""
        listings: list[Listing] = []
        for id in self.store.ids():
            listings.append(self.listing(id))
            _maker(listings[0]).check(_maker(listings[-1]))
        self.catalog.replace(listings)

    def recover(self) -> None:
        """Settle what a crash left, unless another process is at work: then it has done so."""
        if self.store.is_settled():
            return
        with self.store.lock(wait=False) as held:
            if held:
                self.store.recover(self.catalog.is_listed)

    def listing(self, id: str) -> Listing:
        """What the catalog is to hold of a bundle that stands in the store; only under the lock.

        Raises:
            BundleError: it is damaged, or is another bundle than its folder's name says.
        """
        from snt_zoo.registry.bundle.bundle import bundle_id, read_bundle, read_header

        path = self.store.path(id)
        known = self.catalog.get(id)
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
            encoder=self.encoder.id,
            added_at=_now() if known is None else known.added_at,
            path=path,
            size=sum(entry.size for entry in files.values()),
        )
        if known is not None:
            record = replace(record, tags=known.tags)
        return Listing(record, embeddings(sketches, self.encoder), config, files)

    def _add(self, folder: Path, label: Label) -> Record:
        with self.store.staged(folder) as (bundle, copy):
            self._refuse_twin(bundle.id, bundle.digest)
            manifest = read_manifest(copy)
            check_room(self.catalog, manifest.all_files)
            record = Record.of(
                bundle.config,
                id=bundle.id,
                digest=bundle.digest,
                encoder=self.encoder.id,
                added_at=_now(),
                path=self.store.path(bundle.id),
                size=sum(entry.size for entry in manifest.all_files.values()),
            )
            record = replace(record, tags=tuple(dict.fromkeys((*record.tags, *label.tags))))
            vectors = embeddings(bundle.sketches, self.encoder)
            held = self.catalog.maker()
            if held is not None:
                held.check(_maker(Listing(record, vectors)))
            self.store.mark(record.id)
            try:
                self.store.put(copy, record.id, manifest.hashes)
                self.catalog.insert(
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
                self.store.settle(record.id, listed=self.catalog.is_listed(record.id))
        return replace(record, aliases=tuple(sorted({LATEST, *label.aliases})))

    def _refuse_twin(self, id: str, digest: str) -> None:
        known = self.catalog.get(id)
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
        with self.store.lock():
            self.store.recover(self.catalog.is_listed)
            yield


def _maker(listing: Listing) -> Maker:
    return Maker(listing.record.backbone, listing.record.encoder, listing.vectors.shape[1])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
