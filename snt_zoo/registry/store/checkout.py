"""A bundle of the registry as a folder of one's own, to be kept, edited or sent; `add` takes it back."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from snt_zoo.errors import BundleError, IntegrityError
from snt_zoo.formats.durable import is_empty_folder, put_in_place, sync_folder
from snt_zoo.registry.bundle.folder import FILE_LIMITS, MANIFEST, check_folder, open_file
from snt_zoo.registry.bundle.manifest import LISTED, read_manifest
from snt_zoo.registry.catalog.records import Record


def checkout(record: Record, folder: Path) -> Path:
    """Copy a bundle out of the registry, whole or not at all; every hash is checked.

    Args:
        record: of the bundle.
        folder: where to; must not exist, or be empty.

    Returns:
        The folder. Its files are copies: to write to them does not touch the registry.

    Raises:
        BundleError: the folder holds something, or cannot be written, or the bundle is damaged.
    """
    folder = folder.absolute()
    if os.path.lexists(folder) and not is_empty_folder(folder):
        raise BundleError(f"{folder} must not exist yet, or be an empty folder: choose another one")
    check_folder(record.path)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        for name in FILE_LIMITS:
            with open_file(record.path, name) as source, (partial / name).open("xb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        manifest = read_manifest(partial)
        if manifest.digest != record.digest:
            raise IntegrityError(
                f"{record.path / MANIFEST} is not that of {record.id}: run `snt-zoo verify --repair`"
            )
        for name in LISTED:
            manifest.check(partial, name)
        sync_folder(partial)
        put_in_place(partial, folder)
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
