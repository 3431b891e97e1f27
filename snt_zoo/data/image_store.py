"""What a store of images is, and the digest that names an image by its content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

# Of a longer file its size, head and tail are hashed: a compressed photograph differs from another
# in its first kilobytes, and a dataset of any size must be fingerprinted in bounded time.
WHOLE_FILE_LIMIT = 256 * 2**10

# A store that cannot digest what it holds is read at this size instead.
FALLBACK_SIZE = 32


@runtime_checkable
class ImageStore(Protocol):
    """Images that can be read by index, at any size."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor, size: int) -> Tensor:
        """Reads some images, squashed to a square so that no pixel is lost; grey becomes RGB.

        Args:
            indices: int64 ``(n,)``, each in ``0 … len − 1``; repeats are allowed.
            size: The side of the square, in pixels.

        Returns:
            uint8 ``(n, 3, size, size)`` on the CPU.
        """
        ...


@runtime_checkable
class DigestStore(Protocol):
    """An image store that can name each image by what it holds, without decoding it."""

    def digests(self, indices: Tensor) -> list[bytes]:
        """A digest of each image of ``indices``, int64 ``(n,)``; equal content, equal digest."""
        ...


@runtime_checkable
class SizedStore(Protocol):
    """An image store that knows how large its images are, without decoding them."""

    def sides(self, indices: Tensor) -> list[int]:
        """The short side of each image of ``indices``, int64 ``(n,)``, in pixels; 0 where unknown."""
        ...


def digest_bytes(content: bytes) -> bytes:
    """The digest of one image's encoded bytes or pixels."""
    return hashlib.sha256(content).digest()


def digest_file(path: str | Path) -> bytes:
    """The digest of an image file; bounded work however long the file.

    Raises:
        OSError: The file cannot be read.
    """
    path = Path(path)
    length = path.stat().st_size
    if length <= WHOLE_FILE_LIMIT:
        return digest_bytes(path.read_bytes())
    with path.open("rb") as file:
        head = file.read(WHOLE_FILE_LIMIT // 2)
        file.seek(-WHOLE_FILE_LIMIT // 2, 2)
        return digest_bytes(b"%d:" % length + head + file.read())


def digests(store: ImageStore, indices: Tensor) -> list[bytes]:
    """The digest of each image of ``indices``, int64 ``(n,)``, by the store or from its pixels."""
    if isinstance(store, DigestStore):
        return store.digests(indices)
    pixels = store.read(indices, FALLBACK_SIZE).numpy()
    return [digest_bytes(image.tobytes()) for image in pixels]


def sides(store: ImageStore, indices: Tensor) -> list[int]:
    """The short side of each image of ``indices``, int64 ``(n,)``, in pixels; 0 where unknown."""
    return store.sides(indices) if isinstance(store, SizedStore) else [0] * len(indices)
