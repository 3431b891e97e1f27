"""The bundles on the disk: `bundles/<id>/`, each there whole or not at all.

The files are links to `blobs/` (see `blobs`), so that what several bundles share is kept once. A
bundle is copied into `incoming/`, checked there, so that what was checked is what is kept, and
renamed into place. The catalog says what the registry holds; this module keeps both in step over
crashes: before a folder and its row change, `incoming/<id>.pending` is written, and removed after.
Who finds such a mark lets the row decide: without one, the folder is deleted, for its add was never
acknowledged (its source is where it was) or its removal was asked for. A folder without row and
without mark is left alone: the catalog was lost, and `snt-zoo verify --repair` lists it again.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from snt_zoo.errors import IntegrityError, RegistryError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.bundle.folder import FILE_LIMITS, check_folder, open_file
from snt_zoo.registry.store.blobs import Blobs

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.bundle import Bundle

LOCK_SECONDS = 600.0  # an add takes seconds; whoever holds the lock for longer hangs
_PENDING = ".pending"
_TEMPORARY = ".tmp"


class Store:
    """Folders of bundles under a root.

    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._bundles = root / "bundles"
        self._incoming = root / "incoming"
        self.blobs = Blobs(root / "blobs" / "sha256")
        with _disk_errors(root):
            for folder in (root, self._bundles, self._incoming):
                folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other processes and threads from changing the registry.

        Args:
            wait: False gives up at once.

        Yields:
            Whether the lock is held; always so with `wait`.

        Raises:
            RegistryError: another process has held it for ten minutes.
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
        try:
            yield True
        finally:
            lock.release()

    def path(self, id: str) -> Path:
        """The folder of a bundle; the id must come from the catalog or from a checked bundle."""
        return self._bundles / id

    def ids(self) -> list[str]:
        """Names of the folders that stand in the store, sorted."""
        return sorted(path.name for path in self._bundles.iterdir())

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
            self.discard(id)  # left by a registry that lost its catalog
            self.blobs.share(copy, hashes, spare=self._temporary())
            copy.rename(self.path(id))
            sync_folder(self._bundles, files=False)
        return self.path(id)

    def share(self, id: str, hashes: Mapping[str, str]) -> int:
        """Keep the files of a bundle that stands in the store, with these hashes, once; see `Blobs`."""
        with _disk_errors(self.root):
            return self.blobs.share(self.path(id), hashes, spare=self._temporary())

    def set_aside(self, id: str) -> Path:
        """Move a bundle's folder, which cannot be used, into `quarantine/`; returns where it is."""
        with _disk_errors(self.root):
            folder = self.root / "quarantine"
            folder.mkdir(exist_ok=True)
            away = folder / f"{id}-{uuid.uuid4().hex[:8]}"
            self.path(id).rename(away)
            sync_folder(folder, files=False)
            sync_folder(self._bundles, files=False)
        return away

    def mark(self, id: str) -> None:
        """Note that the folder and the row of a bundle are about to change."""
        with _disk_errors(self.root):
            (self._incoming / f"{id}{_PENDING}").touch()
            sync_folder(self._incoming, files=False)

    def settle(self, id: str, *, listed: bool) -> None:
        """End what `mark` began: the folder stays if there is a row, and goes if not."""
        with _disk_errors(self.root):
            if not listed:
                self.discard(id)
            (self._incoming / f"{id}{_PENDING}").unlink(missing_ok=True)

    def is_settled(self) -> bool:
        """Whether nothing is under way, and nothing was left by a crash."""
        return next(self._incoming.iterdir(), None) is None

    def recover(self, is_listed: Callable[[str], bool]) -> None:
        """Settle what a crash left behind; only under the lock.

        Args:
            is_listed: whether the catalog has a row for an id.
        """
        for path in list(self._incoming.iterdir()):
            if path.suffix == _PENDING:
                id = path.name.removesuffix(_PENDING)
                self.settle(id, listed=is_listed(id))
            elif path.suffix == _TEMPORARY:
                self._delete(path)

    def leftovers(self) -> list[Path]:
        """What lies in `incoming/`: what is under way, or what a crash left."""
        return sorted(self._incoming.iterdir())

    def discard(self, id: str) -> None:
        """Delete a bundle's folder, and the blobs that it alone needed; one that is gone is no failure."""
        # Away with one rename first: nobody sees half a bundle.
        away = self._temporary()
        with contextlib.suppress(FileNotFoundError):
            self.path(id).rename(away)
            sync_folder(self._bundles, files=False)
            self._delete(away)

    def _delete(self, path: Path) -> None:
        if path.is_dir():
            with contextlib.suppress(OSError):  # then `gc` finds the blobs
                self.blobs.release(path)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _temporary(self) -> Path:
        return self._incoming / f"{uuid.uuid4().hex}{_TEMPORARY}"


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
        raise RegistryError(
            f"the registry at {root} cannot be written: {error}; free some space, or set "
            "SNT_ZOO_HOME to a folder that you may write to"
        ) from error
