"""A backup of a registry that is in use: one tar file, from which `tar -xf` makes a registry again.

The catalog is copied first, at one moment (SQLite's backup); then come the files of every bundle that it
lists, each content once. What is removed meanwhile is taken out of the copy as well, which comes last: where
a catalog stands, all its bundles do. The index is not in it: it is made anew when it is first needed.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from snt_zoo.errors import BundleError, IntegrityError, RegistryError, leaving_out
from snt_zoo.formats.durable import sync_file, sync_folder
from snt_zoo.registry.bundle.folder import FILE_LIMITS, open_file
from snt_zoo.registry.bundle.manifest import Manifest, read_manifest
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.hub.origins import FILE as ORIGINS
from snt_zoo.registry.store.store import Store


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds.

    Args:
        file: where it is.
        bundles: that are in it.
        bytes: of the file.
        left_out: ids of bundles that were removed meanwhile, or are damaged.
    """

    file: Path
    bundles: int
    bytes: int
    left_out: tuple[str, ...]


def back_up(store: Store, catalog: Catalog, target: Path) -> BackedUp:
    """Write a backup, whole or not at all; the registry may be read and changed meanwhile.

    Args:
        store: of the registry.
        catalog: likewise.
        target: file; must not be there yet.

    Raises:
        RegistryError: it is there, or cannot be written.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise RegistryError(f"{target} is there already: name a new file")
    partial = target.parent / f".{target.name[:32]}.{uuid.uuid4().hex}.partial"
    try:
        with tempfile.TemporaryDirectory() as folder, _tar(partial) as tar:
            copy = Path(folder) / catalog.path.name
            catalog.database.copy_to(copy)
            snapshot = Catalog(copy, locate=store.path)
            gone = _bundles(tar, snapshot, store)
            for id in gone:
                snapshot.delete(id)
            with contextlib.suppress(FileNotFoundError):  # nothing was ever pulled
                tar.add(store.root / ORIGINS, ORIGINS, recursive=False)
            tar.add(copy, catalog.path.name, recursive=False)
            count = snapshot.count()
        sync_file(partial)
        partial.rename(target)
        sync_folder(target.parent, files=False)
    except OSError as error:
        raise RegistryError(
            f"cannot write the backup {target} ({error.strerror or error}): make room, or name another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return BackedUp(target, count, target.stat().st_size, tuple(gone))


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    # A registry is its user's: nobody else is to read a copy of it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        yield tar


def _bundles(tar: tarfile.TarFile, snapshot: Catalog, store: Store) -> list[str]:
    """Write the bundles; returns the ids of those that cannot be had."""
    written: dict[str, str] = {}
    gone = []
    for id, _ in snapshot.names():
        whole = False
        with leaving_out(id), contextlib.ExitStack() as opened:
            folder = store.path(id)
            # All are open before one is written: what is removed now is still read to its end.
            files = {name: opened.enter_context(open_file(folder, name)) for name in FILE_LIMITS}
            record = snapshot.get(id)
            manifest = read_manifest(folder)
            if record is None or manifest.digest != record.digest:
                raise IntegrityError(
                    f"{folder} is another bundle than the catalog says: run `snt-zoo verify`"
                )
            _check_sizes(files, manifest)
            for name, file in files.items():
                _write(tar, f"bundles/{id}/{name}", file, manifest.hashes[name], written)
            whole = True
        if not whole:
            gone.append(id)
    return gone


def _check_sizes(files: Mapping[str, BinaryIO], manifest: Manifest) -> None:
    for name, entry in manifest.all_files.items():
        if files[name].seek(0, io.SEEK_END) != entry.size:
            raise BundleError(f"{name} is not as long as the manifest says: run `snt-zoo verify`")
        files[name].seek(0)


def _write(tar: tarfile.TarFile, path: str, file: BinaryIO, sha256: str, written: dict[str, str]) -> None:
    """A file, or a link to one of the same content that is there already."""
    info = tarfile.TarInfo(path)
    info.mtime = int(time.time())
    if sha256 in written:
        info.type, info.linkname = tarfile.LNKTYPE, written[sha256]
        tar.addfile(info)
        return
    written[sha256] = path
    info.size = os.fstat(file.fileno()).st_size
    tar.addfile(info, file)
