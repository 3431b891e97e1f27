"""Several datasets as one with the union of their classes, for a supernet of several sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.data.dataset import ImageDataset, Split
from snt_zoo.data.image_store import sides
from snt_zoo.data.passed_over import MEANING


@dataclass(frozen=True, eq=False)
class JoinedStore:
    """The images of several splits, one after the other.

    Args:
        splits: in the order in which their images are counted.
    """

    splits: tuple[Split, ...]

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`."""
        out = torch.empty(len(indices), 3, size, size, dtype=torch.uint8)
        for split, rows, inner in self._parts(indices):
            out[rows] = split.read(inner, size)
        return out

    def sides(self, indices: Tensor) -> list[int]:
        """See `SizedStore.sides`."""
        out = [0] * len(indices)
        for split, rows, inner in self._parts(indices):
            for row, side in zip(rows.tolist(), sides(split.images, inner), strict=True):
                out[row] = side
        return out

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`."""
        return self._each(Split.digests, indices)

    def quick_digests(self, indices: Tensor) -> list[bytes]:
        """See `QuickStore.quick_digests`."""
        return self._each(Split.quick_digests, indices)

    def _each(self, ask: Callable[[Split, Tensor], list[bytes]], indices: Tensor) -> list[bytes]:
        out = [b""] * len(indices)
        for split, rows, inner in self._parts(indices):
            for row, digest in zip(rows.tolist(), ask(split, inner), strict=True):
                out[row] = digest
        return out

    def _parts(self, indices: Tensor) -> list[tuple[Split, Tensor, Tensor]]:
        parts = []
        start = 0
        for split in self.splits:
            rows = ((indices >= start) & (indices < start + len(split))).nonzero().flatten()
            if len(rows):
                parts.append((split, rows, indices[rows] - start))
            start += len(split)
        return parts


def join(datasets: Sequence[ImageDataset]) -> ImageDataset:
    """One dataset with the classes of all, named `dataset/class` where there are several.

    Args:
        datasets: at least one; a single one comes back as it is.
    """
    if len(datasets) == 1:
        return datasets[0]
    names = tuple(f"{data.name}/{name}" for data in datasets for name in data.class_names)
    offsets = [0]
    for data in datasets:
        offsets.append(offsets[-1] + data.num_classes)

    def joined(part: str) -> Split:
        splits: list[Split] = [getattr(data, part) for data in datasets]
        labels = [split.labels + offset for split, offset in zip(splits, offsets, strict=False)]
        return Split(JoinedStore(tuple(splits)), torch.cat(labels))

    return ImageDataset(
        name="+".join(data.name for data in datasets),
        class_names=names,
        train=joined("train"),
        val=joined("val"),
        test=joined("test"),
        passed_over={
            reason: tuple(
                f"{data.name}/{path}" for data in datasets for path in data.passed_over.get(reason, ())
            )
            for reason in MEANING
        },
        links_out=tuple(f"{data.name}/{path}" for data in datasets for path in data.links_out),
        heads=tuple(data.num_classes for data in datasets),
    )
