"""Pixels in a file that nobody else can read and that leaves nothing behind.

The file has no name (`O_TMPFILE`, or its name is taken away at once), so it is gone with the process, however
that ends. It is written to and read, not mapped: who writes to a mapping while the disk is full is killed.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]

# Of the disk's free space so much stays free: checkpoints and the model need room as well.
_LEFT_FREE = 0.5


def cache_folder() -> Path:
    """Where the file is made."""
    return Path(platformdirs.user_cache_dir("snt-zoo", False))


class PixelFile:
    """Images of one size, each in a row of its own. Threads may share it.

    Args:
        size: The side of the images, in pixels.

    Raises:
        OSError: There is no place for it.
    """

    def __init__(self, size: int) -> None:
        self.folder = cache_folder()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._shape = (3, size, size)
        self._bytes = 3 * size * size
        self._least_free = int(shutil.disk_usage(self.folder).free * _LEFT_FREE)
        self._file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()  # the file has one position

    def get(self, rows: Rows) -> Pixels:
        """The images of some rows, all of which were kept."""
        out = np.empty((len(rows), *self._shape), dtype=np.uint8)
        for row, image in zip(rows.tolist(), out, strict=True):
            with self._lock:
                self._file.seek(row * self._bytes)
                if self._file.readinto(image.data.cast("B")) != self._bytes:
                    raise OSError(f"the cache of decoded images in {self.folder} was cut short")
        return out

    def put(self, rows: Rows, images: Pixels) -> int:
        """Keep some images; how many of them could be kept, from the first on."""
        kept, contiguous = min(len(rows), self.room()), np.ascontiguousarray(images)
        for count, (row, image) in enumerate(zip(rows[:kept].tolist(), contiguous, strict=False)):
            try:
                with self._lock:
                    self._file.seek(row * self._bytes)
                    whole = self._file.write(image.data.cast("B")) == self._bytes
            except OSError:  # the disk is full, or files may not grow
                whole = False
            if not whole:
                return count
        return kept

    def room(self) -> int:
        """How many more images can be kept."""
        return max(0, shutil.disk_usage(self.folder).free - self._least_free) // self._bytes
