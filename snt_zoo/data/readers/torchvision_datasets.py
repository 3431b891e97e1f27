"""Reads torchvision's classification sets by name, downloaded once into the user's cache.

torchvision checks each download against its own checksum before it reads it; CIFAR's files are
pickles, which it reads after that check.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs
import torch
from PIL import Image
from torch import Tensor

from snt_zoo.data.dataset import Split
from snt_zoo.data.decoding import pixels_of
from snt_zoo.data.image_store import digest_bytes
from snt_zoo.data.reader import RawDataset, ReadOptions, SplitName, register_reader
from snt_zoo.errors import DatasetNotFoundError, LabelError, ReaderUnavailableError, first_line

_Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class _Source:
    """How torchvision's class of a dataset is asked for its splits."""

    cls: str
    splits: Mapping[SplitName, _Arguments]
    common: _Arguments = field(default_factory=dict)


_TRAIN_FLAG: Mapping[SplitName, _Arguments] = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST: Mapping[SplitName, _Arguments] = {
    "train": {"split": "train"},
    "test": {"split": "test"},
}
_THREE_WAY: Mapping[SplitName, _Arguments] = {**_TRAIN_TEST, "val": {"split": "val"}}
_WHOLE: Mapping[SplitName, _Arguments] = {"train": {}}

_SOURCES = MappingProxyType(
    {
        "mnist": _Source("MNIST", _TRAIN_FLAG),
        "fashionmnist": _Source("FashionMNIST", _TRAIN_FLAG),
        "kmnist": _Source("KMNIST", _TRAIN_FLAG),
        "emnist": _Source("EMNIST", _TRAIN_FLAG, {"split": "balanced"}),
        "usps": _Source("USPS", _TRAIN_FLAG),
        "semeion": _Source("SEMEION", _WHOLE),
        "cifar10": _Source("CIFAR10", _TRAIN_FLAG),
        "cifar100": _Source("CIFAR100", _TRAIN_FLAG),
        "svhn": _Source("SVHN", _TRAIN_TEST),
        "stl10": _Source("STL10", _TRAIN_TEST),
        "gtsrb": _Source("GTSRB", _TRAIN_TEST),
        "eurosat": _Source("EuroSAT", _WHOLE),
        "dtd": _Source("DTD", _THREE_WAY),
        "flowers102": _Source("Flowers102", _THREE_WAY),
        "oxfordiiitpet": _Source(
            "OxfordIIITPet", {"train": {"split": "trainval"}, "test": {"split": "test"}}
        ),
        "food101": _Source("Food101", _TRAIN_TEST),
        "fgvcaircraft": _Source("FGVCAircraft", _THREE_WAY),
        "country211": _Source("Country211", {**_TRAIN_TEST, "val": {"split": "valid"}}),
        "renderedsst2": _Source("RenderedSST2", _THREE_WAY),
        # Its "val" is what is reported: there is no other.
        "imagenette": _Source(
            "Imagenette", {"train": {"split": "train"}, "test": {"split": "val"}}, {"size": "160px"}
        ),
        "caltech101": _Source("Caltech101", _WHOLE),
        "caltech256": _Source("Caltech256", _WHOLE),
        "sun397": _Source("SUN397", _WHOLE),
    }
)


@dataclass(frozen=True, eq=False)
class PillowStore:
    """Images that come decoded by Pillow, as ``items[i][0]``."""

    items: Sequence[tuple[Image.Image, Any]]

    def __len__(self) -> int:
        return len(self.items)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`."""
        out = torch.empty(len(indices), 3, size, size, dtype=torch.uint8)
        for row, index in enumerate(indices.tolist()):
            out[row] = pixels_of(self.items[index][0], size)
        return out

    def sides(self, indices: Tensor) -> list[int]:
        """See `SizedStore.sides`."""
        return [min(self.items[index][0].size) for index in indices.tolist()]

    def digests(self, indices: Tensor) -> list[bytes]:
        """See `DigestStore.digests`; takes the decoded pixels."""
        images = (self.items[index][0] for index in indices.tolist())
        return [digest_bytes(repr((i.mode, i.size)).encode() + i.tobytes()) for i in images]


@register_reader("torchvision")
def read_torchvision(ref: str, options: ReadOptions) -> RawDataset:
    """Reads a set by its class name in torchvision, in upper or lower case.

    Args:
        ref: The name, as ``MNIST`` or ``oxfordiiitpet``.
        options: Not used: the sets are checked by their publishers.

    Raises:
        DatasetNotFoundError: There is no such set.
        ReaderUnavailableError: It is not in the cache, and cannot be downloaded.
        LabelError: Its labels are not where torchvision's sets keep them.
    """
    del options
    source = _SOURCES.get(ref.casefold().replace("-", "").replace("_", ""))
    if source is None:
        names = ", ".join(known.cls for known in _SOURCES.values())
        raise DatasetNotFoundError(f"no torchvision dataset is named {ref!r}; there are {names}")
    parts = {
        name: _obtain(source, {**source.common, **arguments}) for name, arguments in source.splits.items()
    }
    labels = {name: _labels(source, part) for name, part in parts.items()}
    splits = {name: Split(PillowStore(part), labels[name]) for name, part in parts.items()}
    count = 1 + int(max(part.max() for part in labels.values()))
    return RawDataset(source.cls.lower(), _class_names(parts["train"], count), splits)


def _obtain(source: _Source, arguments: _Arguments) -> Any:
    """torchvision's dataset, from the cache if it is there."""
    import torchvision  # here, as it takes seconds to import

    root = Path(platformdirs.user_cache_dir("snt-zoo")) / "torchvision"
    cls = getattr(torchvision.datasets, source.cls, None)
    if cls is None:
        raise ReaderUnavailableError(
            f"torchvision {torchvision.__version__} has no {source.cls}; install a later one with "
            "pip install -U torchvision"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(RuntimeError, OSError):
            return cls(root, download=False, **arguments)
        # What torchvision prints must not mix with what the command line answers.
        with contextlib.redirect_stdout(sys.stderr):
            return cls(root, download=True, **arguments)
    except Exception as error:
        # Not one kind: the network, the disk, a checksum, a reader's missing package.
        raise ReaderUnavailableError(
            f"cannot download {source.cls}: {first_line(error)}; check the network and try again, or put "
            f"its files under {root}"
        ) from error


def _labels(source: _Source, part: Any) -> Tensor:
    """int64 ``(n,)``, without decoding an image."""
    for attribute in ("targets", "labels", "_labels", "y"):
        found = getattr(part, attribute, None)
        if found is not None and len(found) == len(part):
            return torch.as_tensor(found).to(torch.int64)
    samples = getattr(part, "_samples", None)
    if samples is not None and len(samples) == len(part):
        return torch.tensor([label for _, label in samples], dtype=torch.int64)
    raise LabelError(f"cannot find the labels of torchvision's {source.cls}; please report this")


def _class_names(part: Any, count: int) -> tuple[str, ...]:
    for attribute in ("classes", "categories"):
        names = getattr(part, attribute, None)
        if names is not None and len(names) == count:
            # Imagenette has a tuple of synonyms for each class.
            return tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
    return tuple(map(str, range(count)))
