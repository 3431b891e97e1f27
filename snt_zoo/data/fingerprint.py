"""Names a dataset by its content.

Each image gives a digest of its stored bytes; the digests of a split are sorted before they are
hashed, so that neither the order of rows nor that of files on disk matters.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from snt_zoo.data.dataset import ImageDataset, ImageStore, Split

# Of a longer file its size, head and tail are hashed: a compressed photograph differs from another
# in its first kilobytes, and a dataset of any size must be fingerprinted in bounded time.
WHOLE_FILE_LIMIT = 256 * 2**10

# A store that cannot digest what it holds is read at this size instead.
FALLBACK_SIZE = 32


@runtime_checkable
class DigestStore(Protocol):
    """An image store that can name each image by what it holds, without decoding it."""

    def digests(self, indices: Tensor) -> list[bytes]:
        """A digest of each image of ``indices``, int64 ``(n,)``; equal content, equal digest."""
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


def _split_digest(split: Split) -> bytes:
    per_image = digests(split.images, torch.arange(len(split)))
    labelled = sorted(
        b"%d:" % label + digest for label, digest in zip(split.labels.tolist(), per_image, strict=True)
    )
    return hashlib.sha256(b"%d:" % len(labelled) + b"".join(labelled)).digest()


def fingerprint(dataset: ImageDataset) -> str:
    """The sha256, in hex, over class names and the labelled images of each split."""
    total = hashlib.sha256(repr(dataset.class_names).encode())
    for split in (dataset.train, dataset.val, dataset.test):
        total.update(_split_digest(split))
    return total.hexdigest()
