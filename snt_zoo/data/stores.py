"""Where the images of a split lie: in an array, or encoded in files or bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.data.decoding import MAX_PIXELS, decode_image, opened
from snt_zoo.data.deep_colour import look_at
from snt_zoo.data.image_store import digest_bytes, digest_file, quick_digest_file
from snt_zoo.data.rendering import PLAIN, Look, Rendering
from snt_zoo.errors import DatasetError, OversizedImageError, UnreadableImageError

T = TypeVar("T")

# Pillow decodes without Python's lock; beyond a few threads the disk and the memory set the pace.
THREADS = min(4, os.cpu_count() or 1)

# Smaller images are quicker by one thread: of 32 × 32 PNGs one read 3,300 a second, four 1,800 (two
# cores; of JPEGs of 1.2 MB one read 73, four 92).
_THREADED_BYTES = 8 * 2**10

# Images per task of a thread, and per step of a resize: keeps the overhead and the memory small, and leaves
# work for every thread in a batch.
_CHUNK = 8
_RESIZE_CHUNK = 1024

# A full check must meet every byte of a file, but no more pixels than that takes.
_CHECK_SIZE = 8


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """Images of one size that lie in memory.

    Args:
        pixels: uint8 ``(n, h, w)`` for grey or ``(n, h, w, 3)`` for RGB.
    """

    pixels: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        colour = len(shape) == 4 and shape[3] == 3
        if self.pixels.dtype != torch.uint8 or not (len(shape) == 3 or colour):
            raise ValueError(
                f"expected pixels as uint8 (n, h, w) or (n, h, w, 3), got {self.pixels.dtype} {shape}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`; bilinear, over the mean of the area when it makes smaller."""
        out = torch.empty(len(indices), 3, size, size, dtype=torch.uint8)
        for start in range(0, len(indices), _RESIZE_CHUNK):
            chosen = self.pixels[indices[start : start + _RESIZE_CHUNK]]
            images = chosen.unsqueeze(1) if chosen.dim() == 3 else chosen.permute(0, 3, 1, 2)
            if images.shape[2:] != (size, size):
                images = functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
            out[start : start + len(images)] = images
        return out

    def sides(self, indices: Tensor) -> list[int]:
        """See `SizedStore.sides`."""
        return [min(self.pixels.shape[1:3])] * len(indices)

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`; takes the shape and the pixels."""
        shape = repr(tuple(self.pixels.shape[1:])).encode()
        return [digest_bytes(shape + self.pixels[i].numpy().tobytes()) for i in indices.tolist()]


@dataclass(frozen=True, eq=False)
class EncodedStore:
    """Images that are decoded whenever they are read.

    Args:
        sources: A path or the encoded bytes for each image; may itself be lazy.
        max_pixels: See `decode_image`.
        rendering: See `decode_image`.
    """

    sources: Sequence[str | Path | bytes]
    max_pixels: int = MAX_PIXELS
    rendering: Rendering = PLAIN

    def __len__(self) -> int:
        return len(self.sources)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`.

        Raises:
            UnreadableImageError, OversizedImageError: See `decode_image`.
        """
        # In numpy: torch would start threads of its own in each of these to copy an image.
        out = np.empty((len(indices), 3, size, size), dtype=np.uint8)

        def fill(start: int) -> None:
            for row, index in enumerate(indices[start : start + _CHUNK].tolist(), start):
                source = self.sources[index]
                out[row] = decode_image(
                    source, size=size, max_pixels=self.max_pixels, rendering=self.rendering
                )

        starts = range(0, len(indices), _CHUNK)
        if len(starts) > 1 and self._large(int(indices[0])):
            in_threads(fill, starts)
        else:
            for start in starts:
                fill(start)
        return torch.from_numpy(out)

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`; takes the encoded bytes."""
        return [_digest(self.sources[index], digest_file) for index in indices.tolist()]

    def quick_digests(self, indices: Tensor) -> list[bytes]:
        """See `QuickStore.quick_digests`; takes 12 KB of a file."""
        return [_digest(self.sources[index], quick_digest_file) for index in indices.tolist()]

    def sides(self, indices: Tensor) -> list[int]:
        """See `SizedStore.sides`; reads headers only."""

        def side(index: int) -> int:
            try:
                with opened(self.sources[index], max_pixels=self.max_pixels) as image:
                    return min(image.size)
            except DatasetError:
                return 0  # whoever reads it will tell what is wrong

        return in_threads(side, indices.tolist())

    def usable(self) -> Tensor:
        """Decodes each image once; whether it can be, bool ``(n,)``."""

        def decodes(index: int) -> bool:
            try:
                decode_image(self.sources[index], size=_CHECK_SIZE, max_pixels=self.max_pixels)
            except (UnreadableImageError, OversizedImageError):
                return False
            return True

        return torch.tensor(in_threads(decodes, range(len(self))), dtype=torch.bool)

    def looks(self, indices: Tensor) -> list[Look]:
        """What some images, ``indices`` int64 ``(n,)``, say of how all should be rendered."""

        def look(index: int) -> Look:
            try:
                with opened(self.sources[index], max_pixels=self.max_pixels) as image:
                    return look_at(image)
            except DatasetError:
                return Look()  # whoever reads it will tell what is wrong

        return in_threads(look, indices.tolist())

    def _large(self, index: int) -> bool:
        source = self.sources[index]
        try:
            length = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        except OSError:
            return False  # the decoder will tell what is wrong with it
        return length >= _THREADED_BYTES


def _digest(source: str | Path | bytes, of_file: Callable[[str | Path], bytes]) -> bytes:
    if isinstance(source, bytes):
        return digest_bytes(source)
    try:
        return of_file(source)
    except OSError as error:
        raise UnreadableImageError(
            f"cannot read {source} any more: {error.strerror}; open the dataset again"
        ) from error


def in_threads(task: Callable[[int], T], items: Iterable[int]) -> list[T]:
    """The result of a task for each item, in order, by a few threads.

    Raises:
        Exception: What the task raised for the first item that failed.
    """
    items = list(items)
    if THREADS == 1 or len(items) < 2:
        return [task(item) for item in items]
    # Not kept between calls: threads do not survive the fork of a process.
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(task, items))
