"""Opening a registry's home: made if it is not there, brought up to date if an earlier snt-zoo made it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from snt_zoo.errors import BundleError, IntegrityError
from snt_zoo.registry.bundle.folder import check_folder
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.tables import SCHEMA_VERSION
from snt_zoo.registry.store.store import Store

CATALOG = "catalog.sqlite"


def open_home(home: Path) -> tuple[Store, Catalog]:
    """The store and the catalog of a registry's folder.

    Raises:
        RegistryError: it cannot be made, or brought up to date; then it is as it was.
        DamagedCatalogError: the catalog cannot be read.
        NewerRegistryError: a newer snt-zoo wrote it.
    """
    store = Store(home)
    catalog = Catalog(home / CATALOG, locate=store.path)
    if catalog.version() != SCHEMA_VERSION:
        with store.lock():
            version = catalog.version()  # another process may have been faster
            if version is None:
                catalog.prepare()
            elif version < SCHEMA_VERSION:
                _migrate(store, catalog, version)
    return store, catalog


def _migrate(store: Store, catalog: Catalog, version: int) -> None:
    from snt_zoo.registry.catalog.migration import migrate

    store.recover(catalog.is_listed)
    share_all(store)
    migrate(catalog.database, version=version, bundles=store.bundles, backups=store.root / "backups")


def share_all(store: Store) -> int:
    """Keep equal files of the store's bundles once; returns the bytes that this freed.

    A file that is not what its manifest says is left alone: `verify` tells of it.
    """
    freed = 0
    for id in store.ids():
        folder = store.path(id)
        with contextlib.suppress(BundleError):
            check_folder(folder)
            manifest = read_manifest(folder)
            for name, sha256 in manifest.hashes.items():
                with contextlib.suppress(IntegrityError):
                    if not store.blobs.holds(folder / name, sha256):
                        if name in manifest.files:
                            manifest.check(folder, name)
                        freed += store.share(id, {name: sha256})
    return freed
