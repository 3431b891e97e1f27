"""A bundle of the registry as a folder of one's own, to be kept, edited or sent; `add` takes it back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from snt_zoo.errors import BundleError, IntegrityError
from snt_zoo.formats.durable import is_empty_folder, made_whole
from snt_zoo.registry.bundle.folder import FILE_LIMITS, MANIFEST, check_folder, open_file
from snt_zoo.registry.bundle.manifest import LISTED, read_manifest


def checkout(bundle: Path, folder: Path, *, digest: str) -> Path:
    """Copy a bundle out of the registry, whole or not at all; every hash is checked.

    Args:
        bundle: its folder in the store.
        folder: where to; must not exist, or be empty.
        digest: that it must have.

    Returns:
        The folder. Its files are copies: to write to them does not touch the registry.

    Raises:
        BundleError: the folder holds something, or cannot be written, or the bundle is damaged.
    """
    folder = folder.absolute()
    if os.path.lexists(folder) and not is_empty_folder(folder):
        raise BundleError(f"{folder} must not exist yet, or be an empty folder: choose another one")
    check_folder(bundle)
    try:
        with made_whole(folder) as partial:
            for name in FILE_LIMITS:
                with open_file(bundle, name) as source, (partial / name).open("xb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
            manifest = read_manifest(partial)
            if manifest.digest != digest:
                raise IntegrityError(
                    f"{bundle / MANIFEST} is not that of {bundle.name}: run `snt-zoo verify --repair`"
                )
            for name in LISTED:
                manifest.check(partial, name)
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {folder}: {error}") from error
    return folder
