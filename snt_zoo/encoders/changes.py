"""Changes of a dataset's pixels: the same classes as another task, for outcomes on more tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.image_store import ImageStore, digests

_BLURRED = 8  # pixels a side that are left


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114])  # of ITU-R BT.601, as Pillow's
    grey = (images.float() * weights[:, None, None]).sum(1, keepdim=True)
    return grey.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def _blurred(images: Tensor) -> Tensor:
    size = images.shape[-1]
    small = functional.interpolate(images.float(), size=(_BLURRED, _BLURRED), mode="area")
    large = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    return large.round().clamp(0, 255).to(torch.uint8)


def _inverted(images: Tensor) -> Tensor:
    return 255 - images


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "grey": _grey,
    "blurred": _blurred,
    "inverted": _inverted,
}
"""By name: uint8 ``n x 3 x size x size`` to the same."""


@dataclass(frozen=True, eq=False)
class ChangedStore:
    """The images of a store, changed when they are read.

    Args:
        images: as they are.
        change: its name.
    """

    images: ImageStore
    change: str

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`."""
        return CHANGES[self.change](self.images.read(indices, size))

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`."""
        mark = self.change.encode()
        return [mark + digest for digest in digests(self.images, indices)]


def changed(data: ImageDataset, change: str) -> ImageDataset:
    """A dataset whose images are changed; `change` is a name of `CHANGES`, or empty for none."""
    if not change:
        return data

    def split(part: Split) -> Split:
        return Split(ChangedStore(part.images, change), part.labels)

    return replace(
        data,
        name=f"{data.name}/{change}",
        train=split(data.train),
        val=split(data.val),
        test=split(data.test),
    )
