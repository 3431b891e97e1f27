"""The files of all bundles, each kept once under its sha256: `blobs/sha256/ab/abcd…`.

A bundle's folder holds hard links to them, so it can be read, copied and uploaded like any folder,
while a file that several versions share takes its bytes once. The links are the count of who needs a
blob. Where the file system has no hard links there are no blobs: a bundle's folder then holds its
files alone, and nothing is shared. Blobs can always be made again from the bundles, so they are
never the only copy of anything, and their folder is not forced to the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from snt_zoo.errors import RegistryError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_ONLY = 0o444  # a bundle is not to be written to, and what is shared least of all


class Blobs:
    """Files by their hash.

    Args:
        root: `blobs/sha256`; made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the file of a hash lies, if it is there.

        Raises:
            RegistryError: those are not 64 hexadecimal digits; a path of them could lead anywhere.
        """
        if not is_sha256(sha256):
            raise RegistryError(f"{ascii(sha256)[:80]} is no sha256: run `snt-zoo verify --repair`")
        return self.root / sha256[:2] / sha256

    def holds(self, file: Path, sha256: str) -> bool:
        """Whether a file is a link to the blob of that hash; its content is not looked at."""
        try:
            return file.samefile(self.path(sha256))
        except OSError:
            return False

    def share(self, folder: Path, hashes: Mapping[str, str], *, spare: Path) -> int:
        """Make the files of a folder links to their blobs, so that equal files are kept once.

        Args:
            folder: a bundle's.
            hashes: sha256 of each file, which the caller has checked.
            spare: a path on the same file system that nobody uses.

        Returns:
            How many bytes were freed, since another bundle had the same file.
        """
        freed = 0
        for name, sha256 in hashes.items():
            own, blob = folder / name, self.path(sha256)
            try:
                if os.name == "posix":  # Windows could not delete it afterwards
                    own.chmod(_READ_ONLY)
                freed += _link(own, blob, sha256, spare)
            except OSError:  # no hard links here, or one too many: the folder's own file stays
                spare.unlink(missing_ok=True)
        return freed

    def release(self, folder: Path) -> int:
        """Before a folder is deleted: delete the blobs that nothing else links to.

        Returns:
            How many bytes that will free.
        """
        freed = 0
        entries = [entry for entry in folder.iterdir() if entry.is_file()]
        links = Counter(entry.lstat().st_ino for entry in entries)
        for entry in entries:
            status = entry.lstat()
            if status.st_nlink != links[status.st_ino] + 1:
                continue
            with contextlib.suppress(OSError):
                blob = self.path(sha256_of(entry))
                if blob.stat().st_ino == status.st_ino:
                    blob.unlink()
                    freed += status.st_size
        return freed

    def all(self) -> Iterator[Path]:
        """Every blob, sorted; one that goes meanwhile does no harm, and other files are not ours."""
        for folder in sorted(self.root.glob("*")):
            if folder.is_dir():
                yield from sorted(path for path in folder.iterdir() if is_sha256(path.name))

    def is_intact(self, blob: Path) -> bool:
        """Whether a blob's content is what its name says; False if it is gone."""
        return has_hash(blob, blob.name)


def _link(own: Path, blob: Path, sha256: str, spare: Path) -> int:
    blob.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(own, blob)
        return 0
    except FileExistsError:
        pass
    if own.samefile(blob):
        return 0
    intact = has_hash(blob, sha256)
    kept, replaced = (blob, own) if intact else (own, blob)
    os.link(kept, spare)
    spare.replace(replaced)  # in one step: a reader has the old file or the new one
    return own.stat().st_size if intact else 0


def is_sha256(text: str) -> bool:
    """Whether those are 64 hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def has_hash(file: Path, sha256: str) -> bool:
    """Whether that is a file of that sha256; False if it is gone, or a link."""
    try:
        return not file.is_symlink() and sha256_of(file) == sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Of a file, hex, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
