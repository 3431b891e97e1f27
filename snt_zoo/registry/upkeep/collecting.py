"""Giving disk back: blobs that no bundle needs, what crashes left, and files that are kept twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snt_zoo.errors import BundleError
from snt_zoo.registry.bundle.manifest import Manifest, read_manifest
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep.opening import share_all


@dataclass(frozen=True)
class Collected:
    """What `gc` deleted, or would delete.

    Args:
        dry_run: nothing was changed.
        blobs: sha256 of blobs that no bundle needs.
        temporary: names in `incoming/`.
        shared: files of bundles that were a second copy of a blob, and are links to it now.
        bytes: of disk that all this gives back.
        kept: bytes in `quarantine/` and `backups/`, which are only ever deleted by hand.
    """

    dry_run: bool
    blobs: tuple[str, ...]
    temporary: tuple[str, ...]
    shared: int
    bytes: int
    kept: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"blobs": list(self.blobs), "temporary": list(self.temporary)}


def collect(store: Store, catalog: Catalog, *, dry_run: bool) -> Collected:
    """Delete what nothing needs; only under the store's lock.

    A second run finds nothing, and a file that is gone already is no failure.
    """
    leftovers = store.leftovers()
    freed = sum(map(_bytes_of, leftovers))
    twice = _copies(store)
    if not dry_run:
        store.recover(catalog.is_listed)
        share_all(store)
        twice -= _copies(store)  # without hard links they stay
    freed += sum(size for _, size in twice)
    # By hash and not by the count of links: copies of a home have none.
    needed = set(catalog.files()) | {
        sha for _, manifest in _manifests(store) for sha in manifest.hashes.values()
    }
    blobs = [blob for blob in store.blobs.all() if blob.name not in needed]
    freed += sum(_size(blob) for blob in blobs if _links(blob) == 1)
    if not dry_run:
        for blob in blobs:
            blob.unlink(missing_ok=True)
    return Collected(
        dry_run=dry_run,
        blobs=tuple(blob.name for blob in blobs),
        temporary=tuple(path.name for path in leftovers),
        shared=len(twice),
        bytes=freed,
        kept={name: _bytes_of(store.root / name) for name in ("quarantine", "backups")},
    )


def _manifests(store: Store) -> Iterator[tuple[str, Manifest]]:
    for id in store.ids():
        with contextlib.suppress(BundleError):
            yield id, read_manifest(store.path(id))


def _copies(store: Store) -> set[tuple[Path, int]]:
    """Files of bundles beside which the same is kept as a blob, with their sizes."""
    found = set()
    for id, manifest in _manifests(store):
        for name, sha256 in manifest.hashes.items():
            file, blob = store.path(id) / name, store.blobs.path(sha256)
            if blob.exists() and file.exists() and not store.blobs.holds(file, sha256):
                found.add((file, _size(file)))
    return found


def _bytes_of(path: Path) -> int:
    """Bytes that would go with a file or a folder; one that others link to takes none."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(_size(file) for file in files if _links(file) == 1)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _links(path: Path) -> int:
    try:
        return path.lstat().st_nlink
    except OSError:
        return 0
