"""What a store of images is, and the digests that name an image by its content.

There are two. A *digest* tells whether two images are the same: what a network was trained on is known by it.
A *quick digest* only puts images into an order that neither their names nor their places decide, and is
asked of every image of a dataset: of a file it takes 12 KB, so that 20,000 photographs are asked in seconds.
Files that share one stand side by side in that order, and no harm is done.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

# Of a longer file that is compressed its size, head and tail are hashed: one photograph differs from another
# in all of its bytes, and a dataset of any size must be fingerprinted in bounded time.
WHOLE_FILE_LIMIT = 256 * 2**10

# How files begin in which a change of any pixel moves what follows, or changes the checksum at the end. Where
# pixels lie as they are (BMP, PPM, TIFF), images with equal borders share their head, tail and size.
_COMPRESSED = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|....ftyp", re.DOTALL)

# A page of most file systems: less is not read from a disk. The head holds the camera's tables and the time,
# the tail may be a white border; the middle differs where they do not.
_PAGE = 4 * 2**10

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


@runtime_checkable
class QuickStore(Protocol):
    """A digest store for which there is a quicker way to tell most images apart."""

    def quick_digests(self, indices: Tensor) -> list[bytes]:
        """As `DigestStore.digests`, but different images may, once in a while, share one."""
        ...


def digest_bytes(content: bytes) -> bytes:
    """The digest of one image's encoded bytes or pixels."""
    return hashlib.sha256(content).digest()


def digest_file(path: str | Path) -> bytes:
    """The digest of an image file; of a compressed one the work is bounded however long it is.

    Raises:
        OSError: The file cannot be read.
    """
    path = Path(path)
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(WHOLE_FILE_LIMIT // 2)
        if length <= WHOLE_FILE_LIMIT or not _COMPRESSED.match(head):
            whole = hashlib.sha256(head)
            while part := file.read(WHOLE_FILE_LIMIT):
                whole.update(part)
            return whole.digest()
        file.seek(-WHOLE_FILE_LIMIT // 2, 2)
        return digest_bytes(b"%d:" % length + head + file.read())


def quick_digest_file(path: str | Path) -> bytes:
    """The quick digest of an image file: of its length, head, middle and tail.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:  # a buffer would read more than is asked for
        length = file.seek(0, 2)
        file.seek(0)
        if length <= 3 * _PAGE:
            return digest_bytes(file.read())
        parts = [b"%d:" % length, file.read(_PAGE)]
        for start in (length // 2 // _PAGE * _PAGE, length - _PAGE):
            file.seek(start)
            parts.append(file.read(_PAGE))
    return digest_bytes(b"".join(parts))


def digests(store: ImageStore, indices: Tensor) -> list[bytes]:
    """The digest of each image of ``indices``, int64 ``(n,)``, by the store or from its pixels."""
    if isinstance(store, DigestStore):
        return store.digests(indices)
    pixels = store.read(indices, FALLBACK_SIZE).numpy()
    return [digest_bytes(image.tobytes()) for image in pixels]


def sides(store: ImageStore, indices: Tensor) -> list[int]:
    """The short side of each image of ``indices``, int64 ``(n,)``, in pixels; 0 where unknown."""
    return store.sides(indices) if isinstance(store, SizedStore) else [0] * len(indices)
