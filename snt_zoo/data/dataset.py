"""The one type of dataset that the rest of snt-zoo sees.

A dataset is three splits; a split is a store of images, read at any size as uint8, and a label for
each. Pixels stay uint8 until they are on the device that uses them: a quarter of the memory and of
the transfer of float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data.decoded import DecodedImages, Wanted
from snt_zoo.data.image_store import ImageStore, QuickStore, digests, sides
from snt_zoo.data.passed_over import PassedOver, account
from snt_zoo.data.rendering import PLAIN, Rendering
from snt_zoo.data.room import free_memory

# Above this many bytes decoded images are kept in a file instead of in memory.
IN_MEMORY_LIMIT = 2 * 2**30

LOOKED_AT = 64
"""Images whose headers say how large those of a split are."""

# Training and sketching read a split at two sizes at most; more would only hold memory.
CACHED_SIZES = 2

# Of the memory that is left, for one size: two sizes are kept, and training needs its own.
_MEMORY_SHARE = 0.25


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images with their labels.

    Args:
        images: The store of ``n`` images.
        labels: int64 ``(n,)``, the index of each image's class.
    """

    images: ImageStore
    labels: Tensor
    _decoded: dict[int, DecodedImages] = field(default_factory=dict, init=False)
    _on_device: dict[tuple[int, str], Tensor] = field(default_factory=dict, init=False)
    _digests: dict[int, bytes] = field(default_factory=dict, init=False)
    _quick: dict[int, bytes] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self)} images)"

    def __getstate__(self) -> dict[str, Any]:
        # A pickled split goes to a worker process, which reads what it needs: pixels stay behind.
        return {**self.__dict__, "_decoded": {}, "_on_device": {}, "_digests": {}, "_quick": {}}

    def subset(self, indices: Tensor) -> Split:
        """A view of some of the images, in the order of ``indices`` (int64 ``(m,)``)."""
        indices = indices.to("cpu", torch.int64)
        labels, whole = self.labels[indices], self
        if isinstance(self.images, SubsetStore):  # of the whole, so that all share what is decoded
            whole, indices = self.images.split, self.images.indices[indices]
        return Split(SubsetStore(whole, indices), labels)

    def thinned(self, most: int) -> Split:
        """The split itself, or every second, third, … of its images, so that there are at most so many."""
        step = -(-len(self) // most)
        return self if step <= 1 else self.subset(torch.arange(0, len(self), step))

    def side(self) -> int:
        """The median of the images' short sides, in pixels, from the headers of a few; 0 if unknown."""
        step = -(-len(self) // LOOKED_AT)
        known = [side for side in sides(self.images, torch.arange(0, len(self), step)) if side]
        return sorted(known)[len(known) // 2] if known else 0

    def fits(self, size: int) -> bool:
        """Whether the split at ``size`` pixels a side is small enough for the memory that is left."""
        left = free_memory()
        most = IN_MEMORY_LIMIT if left is None else min(IN_MEMORY_LIMIT, left * _MEMORY_SHARE)
        return len(self) * 3 * size * size <= most

    def decoded(self, size: int) -> Wanted:
        """The images at ``size`` pixels a side, kept from when each is first asked for.

        A subset shares them with the split that it is of. The last two sizes are kept: in memory if all
        images fit by `fits`, else in a file.
        """
        store = self.images
        if isinstance(store, SubsetStore):
            return Wanted(store.split._kept(size), store.indices)
        return Wanted(self._kept(size), torch.arange(len(self)))

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`: takes what `decoded` keeps at that size, but begins no new size."""
        kept = self._decoded.get(size)
        return self.images.read(indices, size) if kept is None else kept.take(indices)

    def tensor(self, size: int, *, device: torch.device | str = "cpu") -> Tensor:
        """The whole split as one tensor.

        Args:
            size: The side of the images, in pixels.
            device: Where the tensor shall lie; on another than the CPU it is kept for the next call.

        Returns:
            uint8 ``(n, 3, size, size)``; do not write into it.
        """
        if torch.device(device).type == "cpu":
            wanted = self.decoded(size)
            whole = None if isinstance(self.images, SubsetStore) else wanted.images.pixels
            if whole is None:
                return wanted.take(torch.arange(len(self)))
            wanted.images.fill(wanted.rows)
            return whole
        key = (size, str(device))
        moved = self._on_device.pop(key, None)
        self._on_device[key] = self.tensor(size).to(device) if moved is None else moved
        _forget(self._on_device)
        return self._on_device[key]

    def digests(self, indices: Tensor | None = None) -> list[bytes]:
        """A digest of each image, or of those of ``indices``, int64 ``(m,)``; each is computed once.

        Raises:
            UnreadableImageError: A file cannot be read any more.
        """
        wanted = torch.arange(len(self)) if indices is None else indices
        return _each(self._digests, wanted, lambda missing: digests(self.images, missing))

    def quick_digests(self, indices: Tensor) -> list[bytes]:
        """As `digests`, by little of each file: what orders images, and tells no two apart for certain."""
        store = self.images
        if not isinstance(store, QuickStore):
            return self.digests(indices)
        return _each(self._quick, indices, store.quick_digests)

    def by_content(self, indices: Tensor, *, seed: int) -> Tensor:
        """Some images in an order that their content and the seed decide, and nothing else.

        Args:
            indices: int64 ``(m,)``, in any order.
            seed: Another one gives another order.

        Returns:
            int64 ``(m,)``. An image that comes to the split finds its place among the others, which keep
            theirs; equal images stand side by side, and others that share a quick digest by their place in
            the split.
        """
        key = seed.to_bytes(8, "big", signed=seed < 2**63)
        named = [
            (hashlib.blake2b(digest, key=key, digest_size=16).digest(), index)
            for digest, index in zip(self.quick_digests(indices), indices.tolist(), strict=True)
        ]
        return torch.tensor([index for _, index in sorted(named)], dtype=torch.int64)

    def digest(self) -> bytes:
        """A sha256 of the labelled images, sorted: neither the order of rows nor that of files matters."""
        labelled = sorted(
            b"%d:" % label + digest
            for label, digest in zip(self.labels.tolist(), self.digests(), strict=True)
        )
        return hashlib.sha256(b"%d:" % len(labelled) + b"".join(labelled)).digest()

    def _kept(self, size: int) -> DecodedImages:
        kept = self._decoded.pop(size, None)
        if kept is None:
            kept = DecodedImages(self.images, size, in_memory=self.fits(size))
        self._decoded[size] = kept  # dicts keep insertion order: the last is the latest used
        _forget(self._decoded)
        return kept


def _forget(kept: dict[Any, Any]) -> None:
    """All but what was used last."""
    for key in list(kept)[:-CACHED_SIZES]:
        del kept[key]


def _each(known: dict[int, bytes], indices: Tensor, ask: Callable[[Tensor], list[bytes]]) -> list[bytes]:
    """The digests of some images, of which those that are not known yet are asked for, and kept."""
    wanted = indices.tolist()
    if missing := [i for i in dict.fromkeys(wanted) if i not in known]:
        known.update(zip(missing, ask(torch.tensor(missing)), strict=True))
    return [known[i] for i in wanted]


@dataclass(frozen=True, eq=False)
class SubsetStore:
    """Some images of a split, by index, in a new order.

    Args:
        split: The split that holds the images.
        indices: int64 ``(m,)`` into it.
    """

    split: Split
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `Split.read`."""
        return self.split.read(self.indices[indices], size)

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`."""
        return self.split.digests(self.indices[indices])

    def sides(self, indices: Tensor) -> list[int]:
        """See `SizedStore.sides`."""
        return sides(self.split.images, self.indices[indices])

    def quick_digests(self, indices: Tensor) -> list[bytes]:
        """See `QuickStore.quick_digests`."""
        return self.split.quick_digests(self.indices[indices])


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A labelled image dataset with all three splits.

    Args:
        name: A short name for people: the folder's or the file's, or the registered one.
        class_names: The name of each class; a label is an index into it.
        train: What a network learns from; holds at least one image of each class.
        val: What choices are made on.
        test: What is reported.
        passed_over: What was left out, by reason.
        links_out: Links that lead out of the dataset's folder, and were followed.
        heads: Of several datasets that were joined, the number of classes of each; else empty.
        made: Of the splits those that the source lacks: they were taken from its training images.
        rendering: How its images become eight-bit RGB where a file leaves that open.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    passed_over: PassedOver = field(default_factory=dict)
    links_out: tuple[str, ...] = ()
    heads: tuple[int, ...] = ()
    made: tuple[str, ...] = ()
    rendering: Rendering = PLAIN

    @property
    def skipped(self) -> tuple[str, ...]:
        """Unreadable files that were left out because the caller asked for it."""
        return self.passed_over.get("unreadable", ())

    def account(self) -> dict[str, Any]:
        """What was passed over, and which links lead out, as plain data; see `passed_over.account`."""
        return account(self.passed_over, self.links_out)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 in hex that names the content: class names, and in each split images and labels.

        The order of the images within a split does not matter.
        """
        total = hashlib.sha256(repr(self.class_names).encode())
        for split in (self.train, self.val, self.test):
            total.update(split.digest())
        return total.hexdigest()
