"""What a network was trained on: which images, so that nobody measures it on them, and how they are rendered.

Of each image eight bytes of its digest are kept, in a file beside the network. The file stays on the
machine: whoever has an image could tell by it whether the network has seen that, so a push leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Rendering, Split
from snt_zoo.data.rendering import PLAIN
from snt_zoo.errors import ModelFolderError, TensorError
from snt_zoo.formats.tensor_file import load_tensors

FILE = "seen.safetensors"
FILE_LIMIT = 512 * 2**20  # bytes: 64 million images
_HEADER_LIMIT = 10_000  # bytes


@dataclass(frozen=True, eq=False)
class SeenImages:
    """The images of a dataset's training and validation parts.

    Args:
        train: int64 ``(n,)``, the first eight bytes of each digest.
        val: likewise.
    """

    train: Tensor
    val: Tensor

    @classmethod
    def of(cls, data: ImageDataset) -> SeenImages:
        """What a network sees that is trained on a dataset.

        Raises:
            UnreadableImageError: a file cannot be read any more.
        """
        return cls(_short(sorted(set(data.train.digests()))), _short(sorted(set(data.val.digests()))))

    def among(self, split: Split, *, val: bool = True) -> Tensor:
        """Which images of a split were seen, bool ``(m,)``: in training, or also in validation.

        A copy is known by its bytes, or by its pixels where it lies in an array: one that was encoded anew
        is another image.
        """
        seen = torch.cat([self.train, self.val]) if val else self.train
        return torch.isin(_short(split.digests()), seen)

    def tensors(self) -> Mapping[str, Tensor]:
        """For a safetensors file; `read` is the inverse."""
        return {"train": self.train, "val": self.val}

    @classmethod
    def read(cls, folder: Path) -> SeenImages | None:
        """What was written into a model's folder; None where nothing was.

        Raises:
            ModelFolderError: the file is damaged.
        """
        path = folder / FILE
        try:
            with path.open("rb") as file:
                tensors, _ = load_tensors(file.read(FILE_LIMIT + 1), what=FILE, limit=_HEADER_LIMIT)
        except FileNotFoundError:
            return None
        except (OSError, TensorError) as error:
            raise ModelFolderError(f"{path} cannot be read ({error}): save the model again") from error
        if set(tensors) != {"train", "val"} or any(
            t.dtype != torch.int64 or t.dim() != 1 for t in tensors.values()
        ):
            raise ModelFolderError(
                f"{path} must hold train and val, int64 of one dimension: save the model again"
            )
        return cls(tensors["train"], tensors["val"])


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """What a saved network says of its dataset.

    Args:
        fingerprint: of the dataset; empty where an earlier release saved the network.
        rendering: of its images, and so of all that the network is asked about.
        seen: its images; None where they are not known, as of a network that was pulled.
    """

    fingerprint: str = ""
    rendering: Rendering = PLAIN
    seen: SeenImages | None = None

    @classmethod
    def of(cls, data: ImageDataset) -> TrainedOn:
        """Of a network that is trained on a dataset; raises as `SeenImages.of`."""
        return cls(data.fingerprint, data.rendering, SeenImages.of(data))

    def to_json(self) -> dict[str, Any]:
        """Plain data of all but the images."""
        return {"data": self.fingerprint, "rendering": self.rendering.to_json()}

    @classmethod
    def read(cls, config: Mapping[str, Any], folder: Path) -> TrainedOn:
        """The inverse of `to_json`, with the images from a model's folder.

        Raises:
            TypeError, ValueError: the config is not what `to_json` gives.
            ModelFolderError: the file of the images is damaged.
        """
        rendering = Rendering(**config.get("rendering", {}))
        return cls(str(config.get("data", "")), rendering, SeenImages.read(folder))


def shared_images(data: ImageDataset) -> tuple[str, ...]:
    """A warning, if a dataset has the same images in several parts."""
    seen = SeenImages.of(data)
    test, val = int(seen.among(data.test).sum()), int(seen.among(data.val, val=False).sum())
    if not (test or val):
        return ()
    return (
        f"{test:,} of {len(data.test):,} test images are training or validation images as well, and {val:,} "
        f"of {len(data.val):,} validation images are training images, by their content: what is measured on "
        "them is too good; remove the copies",
    )


def _short(digests: Iterable[bytes]) -> Tensor:
    values = [int.from_bytes(digest[:8], "little", signed=True) for digest in digests]
    return torch.tensor(values, dtype=torch.int64)
