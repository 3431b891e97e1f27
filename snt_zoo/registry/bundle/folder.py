"""What may stand in a bundle's folder, and how its files are opened.

A bundle comes from anybody. Only five names are allowed, each a regular file of bounded size;
everything else (a pickle, a script, a folder, a link out of the folder) is refused by its name and
never opened. The limits bound the memory and the time that a hostile bundle can cost.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from snt_zoo.encoders.bounds import SIZE_LIMIT
from snt_zoo.errors import BundleError, ForbiddenFileError, IntegrityError, MissingFileError

CONFIG = "config.json"
MODEL = "model.safetensors"
DATASET = "dataset.safetensors"
MANIFEST = "manifest.json"
CARD = "README.md"

CONFIG_LIMIT = 1_000_000  # bytes
MAX_PARAMS = 200_000_000
MAX_SKETCHES = 256
MAX_SKETCHED_CLASSES = 4096  # of all sketches: in memory each takes 6 KB, in a file 138 bytes can be enough
MODEL_HEADER_LIMIT = 2_000_000  # bytes; 32 DARTS cells, the most that the space allows, take 1.6 MB
DATASET_HEADER_LIMIT = 4_000_000  # class names of 256 sketches

FILE_LIMITS = {
    CONFIG: CONFIG_LIMIT,
    MODEL: 4 * MAX_PARAMS + 16_000_000,  # 16 MB for what is no parameter: batch-norm statistics
    DATASET: MAX_SKETCHES * SIZE_LIMIT + DATASET_HEADER_LIMIT,
    MANIFEST: 10_000,
    CARD: 1_000_000,
}
"""Most bytes of each file; the names are the allow-list."""

_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # not on Windows
_BINARY: int = getattr(os, "O_BINARY", 0)  # only on Windows


def check_folder(folder: Path) -> None:
    """Hold a folder to the allow-list, without opening a file.

    Raises:
        MissingFileError: the folder, or one of the five files, is not there.
        ForbiddenFileError: anything else is there, or one of the five is no regular file.
    """
    try:
        with os.scandir(folder) as entries:
            found = set()
            for entry in entries:
                if entry.name not in FILE_LIMITS:
                    raise ForbiddenFileError(
                        f"a bundle must hold only {', '.join(sorted(FILE_LIMITS))}; "
                        f"{folder} also holds {entry.name!r}: remove it if you trust the rest"
                    )
                if not entry.is_file(follow_symlinks=False):
                    raise _no_regular_file(entry.name, folder)
                found.add(entry.name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"no bundle at {folder}: expected a folder") from error
    except OSError as error:
        raise BundleError(f"cannot look into {folder}: {error.strerror}") from error
    missing = [name for name in FILE_LIMITS if name not in found]
    if missing:
        raise MissingFileError(f"the bundle {folder} lacks {', '.join(missing)}: copy or download it again")


def open_file(folder: Path, name: str, *, limits: Mapping[str, int] = FILE_LIMITS) -> BinaryIO:
    """Open one of the five files for reading; never follows a link, never waits for a pipe.

    Args:
        folder: of the bundle.
        name: of the file.
        limits: most bytes of each file, where it is no bundle's.

    Raises:
        MissingFileError: it is gone.
        ForbiddenFileError: it is a link or no regular file.
        IntegrityError: it is larger than format 1 allows.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except FileNotFoundError as error:
        raise MissingFileError(f"the bundle {folder} lacks {name}: copy it again") from error
    except OSError as error:
        if (folder / name).is_symlink():
            raise _no_regular_file(name, folder) from error
        raise BundleError(f"cannot open {folder / name}: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _no_regular_file(name, folder)
    if status.st_size > limits[name]:
        os.close(descriptor)
        raise IntegrityError(
            f"{name} must have at most {limits[name]:,} bytes, has {status.st_size:,}: "
            f"{folder} is not as snt-zoo writes it"
        )
    return os.fdopen(descriptor, "rb")


def read_file(folder: Path, name: str) -> bytes:
    """The content of one of the five files; raises as `open_file` does."""
    with open_file(folder, name) as file:
        return file.read(FILE_LIMITS[name] + 1)


def hash_file(folder: Path, name: str) -> tuple[str, int]:
    """Sha256 (hex) and size in bytes of one of the five files, in constant memory."""
    digest, size = hashlib.sha256(), 0
    with open_file(folder, name) as file:
        while part := file.read(1 << 20):
            digest.update(part)
            size += len(part)
    return digest.hexdigest(), size


def _no_regular_file(name: str, folder: Path) -> ForbiddenFileError:
    return ForbiddenFileError(
        f"{name} in {folder} must be a regular file, it is a link, a folder or a device: "
        "copy the bundle again with its links resolved"
    )
