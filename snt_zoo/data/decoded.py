"""Images that were decoded once are kept at that size: in memory, or in a file where they do not fit.

A photograph of 4 MB takes tens of milliseconds to decode, its pixels at a working size less than one to read
again. Each image is decoded when it is first asked for, so that a short run decodes no more than it
looks at.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snt_zoo.data.image_store import ImageStore
from snt_zoo.data.pixel_file import PixelFile, Pixels, Rows, cache_folder
from snt_zoo.errors import warn

# Images that are decoded before they are kept: bounds the memory, and lets progress be seen.
_AT_A_TIME = 64


class _Memory:
    """What `PixelFile` does, in memory. All in numpy: torch would start threads beside those that train."""

    def __init__(self, count: int, size: int) -> None:
        # Not cleared: what was not written to takes no memory.
        self.pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
        self._array: Pixels = self.pixels.numpy()

    def get(self, rows: Rows) -> Pixels:
        return np.take(self._array, rows, axis=0)

    def put(self, rows: Rows, images: Pixels) -> int:
        self._array[rows] = images
        return len(rows)

    def room(self) -> int:
        return len(self.pixels)


class DecodedImages:
    """All images of a store at one size, each decoded when it is first asked for. Threads may share it.

    Args:
        store: Where they come from.
        size: The side of the images, in pixels.
        in_memory: Whether to keep them in memory, and not in a file.
    """

    def __init__(self, store: ImageStore, size: int, *, in_memory: bool) -> None:
        self.store = store
        self.size = size
        self.known: NDArray[np.bool_] = np.zeros(len(store), dtype=np.bool_)
        """Which images are kept."""
        self.partial = False
        """Whether some that were asked for do not fit: they are decoded whenever they are read."""
        self._place: _Memory | PixelFile | None = None
        try:
            self._place = _Memory(len(store), size) if in_memory else PixelFile(size)
        except OSError as error:
            self._tell(
                f"no cache of decoded images can be made in {cache_folder()} ({error.strerror}); they are "
                "decoded anew in every pass: set XDG_CACHE_HOME to a folder that can be written to"
            )

    @property
    def pixels(self) -> Tensor | None:
        """uint8 ``(n, 3, size, size)`` where they lie in memory; rows that are not `known` hold anything."""
        return self._place.pixels if isinstance(self._place, _Memory) else None

    def take(self, rows: Tensor) -> Tensor:
        """Some images, int64 ``(m,)``: uint8 ``(m, 3, size, size)`` on the CPU.

        Raises:
            UnreadableImageError: A file turns out to be damaged when it is decoded.
        """
        chosen: Rows = rows.numpy()
        known = self.known[chosen]
        if self._place is not None and known.all():
            return torch.from_numpy(self._place.get(chosen))
        out = np.empty((len(chosen), 3, self.size, self.size), dtype=np.uint8)
        if self._place is not None:
            out[known] = self._place.get(chosen[known])
        for part in _parts(np.flatnonzero(~known)):
            out[part] = self._decoded(chosen[part])
        return torch.from_numpy(out)

    def fill(self, rows: Tensor) -> None:
        """Decode and keep those of some images that are not kept yet."""
        chosen: Rows = rows.numpy()
        for part in _parts(chosen[~self.known[chosen]]):
            self._decoded(part)

    def ready(self, rows: Tensor) -> int:
        """How many of some images are kept."""
        return int(np.count_nonzero(self.known[rows.numpy()]))

    def expect(self, rows: Tensor) -> None:
        """Warn if some images that will be asked for do not all fit."""
        if self._place is not None:
            ready, room = self.ready(rows), self._place.room()
            if len(rows) - ready > room:
                self._tell(_no_room(ready + room, len(rows)))

    def _decoded(self, rows: Rows) -> Pixels:
        images: Pixels = self.store.read(torch.from_numpy(rows), self.size).numpy()
        if self._place is not None:
            kept = self._place.put(rows, images)
            self.known[rows[:kept]] = True  # last: whoever sees it may read
            if kept < len(rows):
                self._tell(_no_room(int(np.count_nonzero(self.known)), len(self.known)))
        return images

    def _tell(self, what: str) -> None:
        if not self.partial:
            self.partial = True
            warn(what)


@dataclass(frozen=True, eq=False)
class Wanted:
    """Some images of a cache, for as long as somebody goes through them.

    Args:
        images: The cache.
        rows: int64 ``(m,)`` into it.
    """

    images: DecodedImages
    rows: Tensor

    def __post_init__(self) -> None:
        self.images.expect(self.rows)
        with _lock:
            _wanted.add(self)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ready(self) -> int:
        """How many are decoded."""
        return self.images.ready(self.rows)

    @property
    def held(self) -> bool:
        """Whether all lie in memory."""
        return self.images.pixels is not None and self.ready == len(self)

    def take(self, indices: Tensor) -> Tensor:
        """See `DecodedImages.take`; by their place among those that are wanted."""
        return self.images.take(self.rows[indices])


_wanted: weakref.WeakSet[Wanted] = weakref.WeakSet()
_lock = threading.Lock()  # a set that grows cannot be gone through


def in_progress() -> tuple[int, int]:
    """Of the images that somebody goes through now, unless all are decoded: the decoded ones, and all."""
    with _lock:
        wanted = list(_wanted)
    found = [(one.ready, len(one)) for one in wanted if not one.images.partial]
    unfinished = [(ready, count) for ready, count in found if ready < count]
    return sum(ready for ready, _ in unfinished), sum(count for _, count in unfinished)


def _parts(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), _AT_A_TIME):
        yield rows[start : start + _AT_A_TIME]


def _no_room(fit: int, count: int) -> str:
    return (
        f"only {fit:,} of {count:,} decoded images fit on the disk of {cache_folder()}, half of whose free "
        "space is left free; the others are decoded anew in every pass: make room, or set XDG_CACHE_HOME"
    )
