"""Writes that survive a power cut: fsync of files and of the folder that names them."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

_PARTIAL = ".snt-zoo.partial"


def sync_folder(folder: Path, *, files: bool = True) -> None:
    """Force a folder, and by default the files in it, to the disk."""
    if files:
        for path in folder.iterdir():
            sync_file(path)
    if os.name == "posix":  # Windows cannot open a folder, and needs no fsync of it
        sync_file(folder)


def is_empty_folder(folder: Path) -> bool:
    """Whether that is a folder, no link to one, and holds nothing."""
    try:
        return not folder.is_symlink() and next(folder.iterdir(), None) is None
    except OSError:  # a file, or a folder that may not be read
        return False


def put_in_place(partial: Path, folder: Path) -> None:
    """Rename a finished folder to where nothing or an empty folder stands, and force that to the disk."""
    # Onto an empty folder a rename works on POSIX alone.
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    sync_folder(folder.parent, files=False)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that may hold others: of a failure before the end nothing is seen.

    All are written beside and forced to the disk; then each is renamed into place, the last one when the
    others are there for good. So where the last one stands, all do.

    Args:
        folder: where to; made if need be.
        files: contents by name, which may lead into folders within it; those that are there are replaced.
    """
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    *_, last = files
    try:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sync_file(path)
        for name in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == last:
                parents = (place for other in files for place in (folder / other).parents)
                for place in {place for place in parents if place == folder or folder in place.parents}:
                    sync_folder(place, files=False)
            (partial / name).replace(path)
        sync_folder(folder, files=False)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for good; one that is there is replaced."""
    partial = path.with_name(f".{path.name[:32]}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        sync_file(partial)
        partial.replace(path)
        sync_folder(path.parent, files=False)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A new folder beside, to be filled, which is put in place at the end; of a failure nothing stays.

    Args:
        folder: where to; must not exist, or be empty.
    """
    # The start of the name: with all of it the whole could be longer than a name may be.
    partial = folder.parent / f".{folder.name[:32]}.{uuid.uuid4().hex}.partial"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        sync_folder(partial)
        put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Force a file, or on POSIX a folder, to the disk."""
    # Windows wants a descriptor that may write.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
