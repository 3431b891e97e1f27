"""The bundles on the disk: `bundles/<id>/`, each there whole or not at all.

The files are links to `blobs/` (see `blobs`), so that what several bundles share is kept once. A
bundle is copied into `incoming/`, checked there, so that what was checked is what is kept, and
renamed into place. The catalog says what the registry holds; this module keeps both in step over
crashes: before a folder and its row change, `incoming/<id>.pending` is written, and removed after.
Who finds such a mark lets the row decide: without one, the folder is deleted, for its add was never
acknowledged (its source is where it was) or its removal was asked for. A folder without row and
without mark is left alone: the catalog was lost, and `snt-zoo verify --repair` lists it again.

Rows, marks and names of folders may have been edited: `Store.path` alone makes a path of an id, and
refuses what is none. What is in these folders and was not put there by this module stays where it is,
or goes to `quarantine/` with the bundle's folder in which it lies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from snt_zoo.errors import DiskFullError, IntegrityError, ReadOnlyRegistryError, RegistryError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.bundle.fields import is_id
from snt_zoo.registry.bundle.folder import FILE_LIMITS, check_folder, open_file
from snt_zoo.registry.store.blobs import Blobs

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.bundle import Bundle

LOCK_SECONDS = 600.0  # an add takes seconds; whoever holds the lock for longer hangs
_PENDING = ".pending"
_TEMPORARY = ".tmp"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_MANAGERS = ("Thumbs.db", "desktop.ini")
_OWN_TEMPORARY = re.compile(r"[0-9a-f]{32}\.tmp")


class Store:
    """Folders of bundles under a root.

    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundles = root / "bundles"
        self._incoming = root / "incoming"
        self.blobs = Blobs(root / "blobs" / "sha256")
        try:
            for folder in (root, self.bundles, self._incoming):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if not root.is_dir():  # else it can be read
                raise _unwritable(root, error) from error

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other processes and threads from changing the registry.

        Args:
            wait: False gives up at once.

        Yields:
            Whether the lock is held; always so with `wait`.

        Raises:
            RegistryError: another process has held it for ten minutes.
            ReadOnlyRegistryError: the folder may not be written to, and `wait` was asked for.
        """
        # A new one each time: a lock object that was inherited over a fork is refused.
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=LOCK_SECONDS if wait else 0)
        except Timeout as error:
            if wait:
                raise RegistryError(
                    f"another process has been changing the registry at {self.root} for "
                    f"{LOCK_SECONDS / 60:.0f} minutes: wait for it, or end it, and try again"
                ) from error
            yield False
            return
        except OSError as error:
            if wait:
                raise _unwritable(self.root, error) from error
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def path(self, id: str) -> Path:
        """The folder of a bundle.

        Raises:
            RegistryError: that is no id; a path of it could lead anywhere.
        """
        if not is_id(id):
            raise RegistryError(f"{ascii(id)[:80]} is no id of a supernet: run `snt-zoo verify --repair`")
        return self.bundles / id

    def ids(self) -> list[str]:
        """Ids of the bundles whose folders stand in the store, sorted."""
        return [path.name for path in _entries(self.bundles) if is_id(path.name)]

    def strangers(self) -> list[Path]:
        """What stands among the bundles and is none, but for the files of file managers, sorted."""
        return [
            path
            for path in _entries(self.bundles)
            if not is_id(path.name) and not path.name.startswith(".") and path.name not in _OF_MANAGERS
        ]

    @contextlib.contextmanager
    def staged(self, folder: Path) -> Iterator[tuple[Bundle, Path]]:
        """A checked copy of a bundle, which is gone afterwards unless `put` took it.

        Only regular files with allowed names are copied; see `read_bundle` for what is refused.
        """
        check_folder(folder)
        with self.workplace() as copy:
            with _disk_errors(self.root):
                for name in FILE_LIMITS:
                    _copy(folder, name, copy / name)
            from snt_zoo.registry.bundle.bundle import read_bundle

            bundle = read_bundle(copy)
            with _disk_errors(self.root):
                sync_folder(copy)
            yield bundle, copy

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """An empty folder in `incoming/`, which is gone afterwards unless `put` took it."""
        place = self._temporary()
        try:
            with _disk_errors(self.root):
                place.mkdir()
            yield place
        finally:
            if place.exists():
                self._delete(place)

    def put(self, copy: Path, id: str, hashes: Mapping[str, str]) -> Path:
        """Move a staged copy, whose files have these hashes, into place; call `mark` before."""
        with _disk_errors(self.root):
            self.blobs.share(copy, hashes, spare=self._temporary())
            if os.path.lexists(self.path(id)):  # damaged, or left by a registry that lost its catalog
                self.set_aside(id)
            copy.rename(self.path(id))
            sync_folder(self.bundles, files=False)
        return self.path(id)

    def share(self, id: str, hashes: Mapping[str, str]) -> int:
        """Keep the files of a bundle that stands in the store, with these hashes, once; see `Blobs`."""
        with _disk_errors(self.root):
            return self.blobs.share(self.path(id), hashes, spare=self._temporary())

    def set_aside(self, id: str) -> Path:
        """Move a bundle's folder, which cannot be used, into `quarantine/`; returns where it is."""
        return self.move_aside(self.path(id))

    def move_aside(self, path: Path) -> Path:
        """The same for something that stands among the bundles."""
        with _disk_errors(self.root):
            folder = self.root / "quarantine"
            folder.mkdir(exist_ok=True)
            away = folder / f"{path.name}-{uuid.uuid4().hex[:8]}"
            path.rename(away)
            sync_folder(folder, files=False)
            sync_folder(self.bundles, files=False)
        return away

    def mark(self, id: str) -> None:
        """Note that the folder and the row of a bundle are about to change."""
        with _disk_errors(self.root):
            self._mark(id).touch()
            sync_folder(self._incoming, files=False)

    def settle(self, id: str, *, listed: bool) -> None:
        """End what `mark` began: the folder stays if there is a row, and goes if not."""
        with _disk_errors(self.root):
            if not listed:
                self.discard(id)
            self._mark(id).unlink(missing_ok=True)

    def is_settled(self) -> bool:
        """Whether nothing is under way, and nothing was left by a crash."""
        return not self.leftovers()

    def recover(self, is_listed: Callable[[str], bool]) -> None:
        """Settle what a crash left behind; only under the lock.

        Args:
            is_listed: whether the catalog has a row for an id.
        """
        for path in self.leftovers():
            if path.suffix == _PENDING:
                id = path.name.removesuffix(_PENDING)
                self.settle(id, listed=is_listed(id))
            else:
                self._delete(path)

    def leftovers(self) -> list[Path]:
        """What is under way, or what a crash left: marks and temporary names in `incoming/`, no others."""
        return [
            path
            for path in _entries(self._incoming)
            if _OWN_TEMPORARY.fullmatch(path.name)
            or (path.suffix == _PENDING and is_id(path.name.removesuffix(_PENDING)))
        ]

    def discard(self, id: str) -> None:
        """Delete a bundle's folder, and the blobs that it alone needed; one that is gone is no failure.

        With somebody's own file in it the folder is set aside.
        """
        with contextlib.suppress(FileNotFoundError):
            if _has_others(self.path(id)):
                self.set_aside(id)
                return
            # Away with one rename first: nobody sees half a bundle.
            away = self._temporary()
            self.path(id).rename(away)
            sync_folder(self.bundles, files=False)
            self._delete(away)

    def _delete(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # then `gc` finds the blobs
                self.blobs.release(path)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _mark(self, id: str) -> Path:
        return self._incoming / f"{self.path(id).name}{_PENDING}"

    def _temporary(self) -> Path:
        return self._incoming / f"{uuid.uuid4().hex}{_TEMPORARY}"


def _has_others(folder: Path) -> bool:
    """Whether a folder of ours holds something that no bundle does; a link to a folder is not ours."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return any(path.name not in FILE_LIMITS for path in folder.iterdir())


def _copy(folder: Path, name: str, target: Path) -> None:
    limit = FILE_LIMITS[name]
    with open_file(folder, name) as source, target.open("xb") as sink:
        copied = 0
        while part := source.read(1 << 20):
            copied += len(part)
            if copied > limit:  # it grew since it was opened
                raise IntegrityError(f"{name} must have at most {limit:,} bytes, has more")
            sink.write(part)


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(root, error) from error


def _unwritable(root: Path, error: OSError) -> RegistryError:
    kind = RegistryError
    if error.errno in _READ_ONLY:
        kind = ReadOnlyRegistryError
    elif error.errno in FULL:
        kind = DiskFullError
    return kind(
        f"the registry at {root} cannot be written: {error}; free some space, or set SNT_ZOO_HOME to "
        "a folder that you may write to"
    )


def _entries(folder: Path) -> list[Path]:
    """What stands in a folder, sorted; nothing where it is missing, as in a copy that may only be read."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
