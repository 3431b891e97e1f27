"""The one type of dataset that the rest of snt-zoo sees.

A dataset is three splits; a split is a store of images, read at any size as uint8, and a label for
each. Pixels stay uint8 until they are on the device that uses them: a quarter of the memory and of
the transfer of float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data.image_store import ImageStore, QuickStore, digests
from snt_zoo.data.passed_over import PassedOver, account
from snt_zoo.data.rendering import PLAIN, Rendering

# Above this many bytes a split is streamed instead of being held in memory as one tensor.
IN_MEMORY_LIMIT = 2 * 2**30

# Training and sketching read a split at two sizes at most; more would only hold memory.
CACHED_SIZES = 2


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images with their labels.

    Args:
        images: The store of ``n`` images.
        labels: int64 ``(n,)``, the index of each image's class.
    """

    images: ImageStore
    labels: Tensor
    _cache: dict[tuple[int, str], Tensor] = field(default_factory=dict, init=False)
    _digests: dict[int, bytes] = field(default_factory=dict, init=False)
    _quick: dict[int, bytes] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self)} images)"

    def __getstate__(self) -> dict[str, Any]:
        # A pickled split goes to a worker process, which reads what it needs: pixels stay behind.
        return {**self.__dict__, "_cache": {}, "_digests": {}, "_quick": {}}

    def subset(self, indices: Tensor) -> Split:
        """A view of some of the images, in the order of ``indices`` (int64 ``(m,)``)."""
        indices = indices.to("cpu", torch.int64)
        return Split(SubsetStore(self, indices), self.labels[indices])

    def thinned(self, most: int) -> Split:
        """The split itself, or every second, third, … of its images, so that there are at most so many."""
        step = -(-len(self) // most)
        return self if step <= 1 else self.subset(torch.arange(0, len(self), step))

    def fits(self, size: int) -> bool:
        """Whether the split at ``size`` pixels a side is small enough to be held in memory."""
        return len(self) * 3 * size * size <= IN_MEMORY_LIMIT

    def cached(self, size: int) -> Tensor | None:
        """The tensor of the whole split on the CPU, if an earlier call has made it."""
        return self._cache.get((size, "cpu"))

    def tensor(self, size: int, *, device: torch.device | str = "cpu") -> Tensor:
        """The whole split as one tensor, kept for the next call (the last two sizes are kept).

        Args:
            size: The side of the images, in pixels.
            device: Where the tensor shall lie.

        Returns:
            uint8 ``(n, 3, size, size)``; do not write into it. A split that does not fit in memory
            by `fits` is read, but not kept.
        """
        key = (size, str(device))
        kept = self._cache.pop(key, None)
        if kept is None:
            if torch.device(device).type == "cpu":
                kept = self.images.read(torch.arange(len(self)), size)
            else:
                kept = self.tensor(size).to(device)
        if self.fits(size):
            self._cache[key] = kept  # dicts keep insertion order: the last is the latest used
            self._forget_old_sizes()
        return kept

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

    def _forget_old_sizes(self) -> None:
        latest_first: Iterator[int] = (size for size, _ in reversed(list(self._cache)))
        keep = list(dict.fromkeys(latest_first))[:CACHED_SIZES]
        for key in [key for key in self._cache if key[0] not in keep]:
            self._cache.pop(key, None)


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
        """See `ImageStore.read`; takes pixels that the split holds in memory already."""
        wanted = self.indices[indices]
        held = self.split.cached(size)
        return self.split.images.read(wanted, size) if held is None else held[wanted]

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`."""
        return self.split.digests(self.indices[indices])

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
