"""Opens a dataset by its reference."""

from __future__ import annotations

import os
import re
from pathlib import Path

from snt_zoo.data.dataset import ImageDataset
from snt_zoo.data.decoding import MAX_PIXELS
from snt_zoo.data.reader import (
    OnBadImage,
    Reader,
    ReadOptions,
    list_readers,
    path_reader,
    prefixed_reader,
)
from snt_zoo.data.splits import complete
from snt_zoo.errors import DatasetError, DatasetNotFoundError, UnknownFormatError

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
) -> ImageDataset:
    """Opens labelled images, and makes the splits that they lack.

    Args:
        ref: A folder of class folders (optionally under ``train/``, ``val/``, ``test/``), an
            ``.npz`` in MedMNIST's layout, or ``hf:NAME``, ``torchvision:NAME``, ``sklearn:digits``.
        seed: Of the splits that are made: stratified, 15 % each for validation and test.
        on_bad_image: "refuse" checks each file's header now, and raises; "skip" decodes each file
            now and leaves out what fails (`ImageDataset.skipped`), so that nothing fails later.
        max_pixels: Most pixels of one image.

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
    if on_bad_image not in ("refuse", "skip"):
        raise ValueError(f"expected on_bad_image to be 'refuse' or 'skip', got {on_bad_image!r}")
    reader, rest = _find_reader(ref)
    raw = reader.read(rest, ReadOptions(on_bad_image=on_bad_image, max_pixels=max_pixels))
    return complete(raw, seed=seed)


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
