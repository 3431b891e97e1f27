"""Images that were decoded once are kept at that size: in memory, or in a file where they do not fit.

A photograph of 4 MB takes tens of milliseconds to decode, its pixels at a working size less than one to read
again. Each image is decoded when it is first asked for, so that a short run decodes no more than it
looks at.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snt_zoo.data.image_store import ImageStore
from snt_zoo.data.pixel_file import PixelFile, Pixels, Rows, cache_folder
from snt_zoo.errors import warn

# Images that are decoded before they are kept: bounds the memory, and lets progress be seen.
_AT_A_TIME = 64


class _Memory:
    """What `PixelFile` does, in memory."""

    def __init__(self, count: int, size: int) -> None:
        # Not cleared: what was not written to takes no memory.
        self.pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
        self._array: Pixels = self.pixels.numpy()

    def get(self, rows: Rows) -> Pixels:
        # In numpy: torch would start threads for it beside those that train.
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
        self.known = torch.zeros(len(store), dtype=torch.bool)
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
        known = self.known[rows]
        if self._place is not None and bool(known.all()):
            return torch.from_numpy(self._place.get(rows.numpy()))
        out = np.empty((len(rows), 3, self.size, self.size), dtype=np.uint8)
        if self._place is not None:
            out[known.numpy()] = self._place.get(rows[known].numpy())
        for part in _parts(torch.nonzero(~known).flatten()):
            out[part.numpy()] = self._decoded(rows[part])
        return torch.from_numpy(out)

    def fill(self, rows: Tensor) -> None:
        """Decode and keep those of some images that are not kept yet."""
        for part in _parts(rows[~self.known[rows]]):
            self._decoded(part)

    def expect(self, rows: Tensor) -> None:
        """Warn if some images that will be asked for do not all fit."""
        if self._place is not None:
            missing = int((~self.known[rows]).sum())
            if missing > (room := self._place.room()):
                self._tell(_no_room(len(rows) - missing + room, len(rows)))

    def _decoded(self, rows: Tensor) -> Pixels:
        images: Pixels = self.store.read(rows, self.size).numpy()
        if self._place is not None:
            kept = self._place.put(rows.numpy(), images)
            self.known[rows[:kept]] = True  # last: whoever sees it may read
            if kept < len(rows):
                self._tell(_no_room(int(self.known.sum()), len(self.known)))
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
        return int(self.images.known[self.rows].sum())

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


def _parts(rows: Tensor) -> Sequence[Tensor]:
    return torch.split(rows, _AT_A_TIME) if len(rows) else ()


def _no_room(fit: int, count: int) -> str:
    return (
        f"only {fit:,} of {count:,} decoded images fit on the disk of {cache_folder()}, half of whose free "
        "space is left free; the others are decoded anew in every pass: make room, or set XDG_CACHE_HOME"
    )
