"""Opens a dataset by its reference."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from snt_zoo.data.dataset import ImageDataset, Split, SubsetStore
from snt_zoo.data.decoding import MAX_PIXELS
from snt_zoo.data.image_store import ImageStore
from snt_zoo.data.reader import (
    OnBadImage,
    RawDataset,
    Reader,
    ReadOptions,
    list_readers,
    path_reader,
    prefixed_reader,
)
from snt_zoo.data.rendering import Look, Rendering, choose
from snt_zoo.data.splits import complete
from snt_zoo.data.stores import EncodedStore
from snt_zoo.errors import DatasetError, DatasetNotFoundError, UnknownFormatError

# Training images that are looked at to choose how all of a dataset are rendered.
_LOOKS = 64

_PREFIX = re.compile(r"([A-Za-z][\w+.-]+):(?!\\)(.*)", re.DOTALL)  # one letter: a Windows drive
_WHAT_IT_CAN_BE = (
    "a dataset is a folder of class folders, an .npz in MedMNIST's layout, or NAME with prefix "
    "hf:, torchvision:, sklearn:"
)


def open_dataset(
    ref: str | os.PathLike[str],
    *,
    seed: int = 0,
    on_bad_image: OnBadImage = "refuse",
    max_pixels: int = MAX_PIXELS,
    rendering: Rendering | None = None,
) -> ImageDataset:
    """Opens labelled images, and makes the splits that they lack.

    Args:
        ref: A folder of class folders (optionally under ``train/``, ``val/``, ``test/``), an
            ``.npz`` in MedMNIST's layout, or ``hf:NAME``, ``torchvision:NAME``, ``sklearn:digits``.
        seed: Of the splits that are made: stratified, 15 % each for validation and test. They depend on the
            content of the images: the others stay where they are when some are added.
        on_bad_image: "refuse" checks each file's header now, and raises; "skip" decodes each file
            now and leaves out what fails (`ImageDataset.skipped`), so that nothing fails later.
        max_pixels: Most pixels of one image.
        rendering: What is laid below transparency, and the like; by default what suits the images.

    Returns:
        The dataset, with images in each split and each class in ``train``.

    Raises:
        DatasetNotFoundError: There is no such path or name.
        UnknownFormatError: The file is not one that snt-zoo reads.
        UnknownComponentError: The prefix names no reader.
        DatasetError: Its subclasses tell what is wrong with the content.

    Example:
        >>> open_dataset("sklearn:digits").num_classes
        10
    """
    options = ReadOptions(on_bad_image=on_bad_image, max_pixels=max_pixels)
    return complete(read_raw(ref, options, rendering), seed=seed)


def read_raw(
    ref: str | os.PathLike[str], options: ReadOptions, rendering: Rendering | None = None
) -> RawDataset:
    """What the source of a dataset holds, unchecked; see `open_dataset`."""
    reader, rest = _find_reader(ref)
    raw = reader.read(rest, options)
    if rendering is None:
        rendering = choose(_looks(raw.splits.get("train") or next(iter(raw.splits.values()))))
    splits = {name: _rendered(split, rendering) for name, split in raw.splits.items()}
    return replace(raw, splits=splits, rendering=rendering)


def _looks(split: Split) -> list[Look]:
    # At random, as every second file may be of one kind.
    rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:_LOOKS]
    store: ImageStore = split.images
    while isinstance(store, SubsetStore):
        rows, store = store.indices[rows], store.split.images
    return store.looks(rows) if isinstance(store, EncodedStore) else []


def _rendered(split: Split, rendering: Rendering) -> Split:
    store = split.images
    if isinstance(store, SubsetStore):
        return _rendered(store.split, rendering).subset(store.indices)
    if isinstance(store, EncodedStore):
        return Split(replace(store, rendering=rendering), split.labels)
    return split


def _find_reader(ref: str | os.PathLike[str]) -> tuple[Reader, str]:
    text = os.fspath(ref)
    prefixed = _PREFIX.fullmatch(text) if isinstance(ref, str) else None
    if prefixed and prefixed[1] in list_readers():
        return prefixed_reader(prefixed[1]), prefixed[2]
    path = Path(text).expanduser()
    try:
        exists = bool(text) and path.exists()
    except (OSError, ValueError) as error:  # a loop of links, a NUL, no permission
        raise DatasetError(f"cannot look at {text!r}: {error}") from error
    if not exists:
        if prefixed:
            prefixed_reader(prefixed[1])  # raises, and lists what there is
        raise DatasetNotFoundError(f"no such file or folder: {text}; {_WHAT_IT_CAN_BE}")
    reader = path_reader(path)
    if reader is None:
        raise UnknownFormatError(
            f"{text} is not in a format that snt-zoo reads; {_WHAT_IT_CAN_BE}; unpack an archive, "
            "and name the folder"
        )
    return reader, str(path)
