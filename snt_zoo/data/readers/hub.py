"""Reads a dataset of the Hugging Face Hub: `hf:NAME`, or `hf:NAME:CONFIG`.

Takes the extra `hf` (package `datasets`). Columns are found by type, not by name; the images' bytes
go through this package's own decoder. Tested with a stand-in for `datasets`, and tried by hand with
the real one on data in memory, not against the Hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from snt_zoo.data.dataset import Split
from snt_zoo.data.reader import RawDataset, ReadOptions, SplitName, register_reader
from snt_zoo.data.split_names import split_name
from snt_zoo.data.stores import EncodedStore
from snt_zoo.errors import (
    DatasetError,
    DatasetNotFoundError,
    LabelError,
    ReaderUnavailableError,
    UnreadableImageError,
    first_line,
)


@dataclass(frozen=True, eq=False)
class _EncodedColumn(Sequence[bytes | str]):
    """The encoded images of a column, fetched one by one."""

    rows: Any
    column: str

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> bytes | str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes | str]: ...
    def __getitem__(self, index: int | slice) -> bytes | str | Sequence[bytes | str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        cell = self.rows[index][self.column] or {}
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        if cell.get("path") is not None:
            return str(cell["path"])
        raise UnreadableImageError(f"row {index} has no image in column {self.column!r}")


@register_reader("hf")
def read_hf(ref: str, options: ReadOptions) -> RawDataset:
    """Downloads a dataset, or takes it from the cache of `datasets`, and finds its columns.

    The splits ``train``, ``val`` and ``test`` are known by their usual names; one whose labels are
    withheld (all −1) counts as none. Of several columns of classes the finest is taken.

    Args:
        ref: ``NAME`` or ``NAME:CONFIG``.
        options: With "skip" each image is decoded now; with "refuse" a bad one raises when it is
            read, or when a split is made, since to look at its header is to fetch it.

    Raises:
        ReaderUnavailableError: The package is missing, or the download fails.
        DatasetNotFoundError: The Hub has no such dataset.
        LabelError: There is no column of classes, or an image has no class.
        DatasetError: There is no column of images, or no training split.
    """
    datasets = _package()
    parts = _load(datasets, ref, partial=options.partial)
    features = next(iter(parts.values())).features
    image, label = _columns(datasets, ref, features)
    splits: dict[SplitName, Split] = {}
    skipped: list[str] = []
    for name, part in parts.items():
        labels = _labels(ref, part, label)
        if name != "train" and len(labels) and bool((labels == -1).all()):
            continue
        rows = part.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        store = EncodedStore(_EncodedColumn(rows, image), options.max_pixels)
        splits[name] = Split(store, labels)
        if options.on_bad_image == "skip":
            good = store.usable()
            skipped += [f"{name}[{row}]" for row in torch.nonzero(~good).flatten().tolist()]
            splits[name] = splits[name].subset(torch.nonzero(good).flatten())
    class_names = tuple(map(str, features[label].names))
    return RawDataset(ref.partition(":")[0], class_names, splits, {"unreadable": tuple(skipped)})


def _package() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ReaderUnavailableError(
            "hf: takes the package datasets, which is not installed: pip install 'snt-zoo[hf]'"
        ) from error
    return datasets


def _load(datasets: Any, ref: str, *, partial: bool) -> dict[SplitName, Any]:
    name, _, config = ref.partition(":")
    try:
        loaded = datasets.load_dataset(name, config or None)
    except FileNotFoundError as error:  # the package's own DatasetNotFoundError is one
        raise DatasetNotFoundError(
            f"the Hugging Face Hub has no dataset {name!r}, or it is private: check the name, or "
            "log in with hf auth login"
        ) from error
    except Exception as error:
        # Not one kind: the network, the disk, the cache, a script that the package will not run.
        raise ReaderUnavailableError(
            f"cannot load hf:{ref}: {first_line(error)}; check the network and the name, NAME or NAME:CONFIG"
        ) from error
    parts: dict[SplitName, Any] = {}
    for part, rows in sorted(loaded.items(), key=lambda item: len(item[0])):  # test before test_images
        if (known := split_name(str(part))) is not None:
            parts.setdefault(known, rows)
    if "train" not in parts and not (partial and parts):
        raise DatasetError(
            f"hf:{ref} has no training split, it has {', '.join(map(str, loaded))}; name a "
            "configuration that has one, as hf:NAME:CONFIG"
        )
    return parts


def _columns(datasets: Any, ref: str, features: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the columns of images and of classes."""
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    columns = ", ".join(features)
    if not images:
        raise DatasetError(f"hf:{ref} has no column of images, its columns are {columns}")
    if not classes:
        raise LabelError(
            f"hf:{ref} has no column of the type ClassLabel, its columns are {columns}; save it as "
            "a folder of class folders, or give the column that type"
        )
    return images[0], max(classes, key=lambda name: len(features[name].names))


def _labels(ref: str, part: Any, column: str) -> Tensor:
    values = list(part.select_columns([column])[:][column])
    if any(value is None for value in values):
        raise LabelError(f"hf:{ref} has images without a class in column {column!r}: filter them")
    return torch.tensor(values, dtype=torch.int64)
