"""Reads an `.npz` in MedMNIST's layout (Yang et al. 2023, https://medmnist.com).

`train_images`, `train_labels`, likewise `val_…` and `test_…`, and optionally `class_names`. An
archive from anywhere is safe to open: that its arrays are of the layout is known by their headers, before
memory is spent, and nothing in it is ever unpickled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snt_zoo.data.dataset import Split
from snt_zoo.data.npy_archive import Array, Header, NpyArchive, open_archive
from snt_zoo.data.reader import SPLIT_NAMES, RawDataset, ReadOptions, SplitName, register_reader
from snt_zoo.data.stores import ArrayStore
from snt_zoo.errors import (
    DatasetError,
    LabelError,
    OversizedImageError,
    TooFewClassesError,
    UnknownFormatError,
)

_NAME_BYTES = 16 * 2**20  # of all class names together, as numpy pads them

_LAYOUT = "train_images, train_labels, val_… and test_… likewise, and optionally class_names"


def _is_npz(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".npz"


@register_reader("npz", matches=_is_npz)
def read_npz(ref: str, options: ReadOptions) -> RawDataset:
    """Reads the splits that the file holds.

    A validation part of zero rows counts as none, since the layout has no other way to say so once
    its keys are written; a training or test part of zero rows is refused.

    Args:
        ref: The path.
        options: ``max_pixels`` holds for the arrays' images too.

    Raises:
        UnknownFormatError: It is no `.npz`, or lacks ``train_images`` or ``train_labels``.
        LabelError: Labels are missing, not whole numbers, several for an image, or out of range.
        OversizedImageError: The arrays are larger than the limit.
        DatasetError: An array is of a kind or shape that holds no images, or is damaged.
    """
    path = Path(ref)
    with open_archive(path) as archive:
        arrays = archive.read(_headers(archive, options))
    pixels: dict[SplitName, NDArray[np.uint8]] = {}
    labels: dict[SplitName, NDArray[np.int64]] = {}
    for name in SPLIT_NAMES:
        if f"{name}_images" not in arrays or (name == "val" and not len(arrays[f"{name}_images"])):
            continue
        pixels[name] = _as_pixels(arrays.pop(f"{name}_images"), f"{path}: {name}_images")
        labels[name] = _as_labels(arrays.pop(f"{name}_labels"), f"{path}: {name}_labels")
    names = arrays.get("class_names")
    class_names = _counted(path, labels) if names is None else _one_line_each(path, names)
    splits = {
        name: Split(ArrayStore(torch.from_numpy(pixels[name])), torch.from_numpy(labels[name]))
        for name in pixels
    }
    return RawDataset(path.stem, class_names, splits)


def _headers(archive: NpyArchive, options: ReadOptions) -> list[Header]:
    """The arrays to read, each of the kind and shape that the layout says."""
    path, held = archive.path, set(archive.names)
    present = [name for name in SPLIT_NAMES if held & {f"{name}_images", f"{name}_labels"}]
    needed = ["train"] if not (options.partial and present) else []
    for key in (f"{name}_{part}" for name in needed for part in ("images", "labels")):
        if key not in held:
            raise UnknownFormatError(
                f"{path} lacks {key}; it holds {', '.join(sorted(held)[:10])}; MedMNIST's layout is {_LAYOUT}"
            )
    found, rows = [], 0
    for name in present:
        if f"{name}_images" not in held:
            raise LabelError(f"{path} has {name}_labels but no {name}_images: add or remove")
        if f"{name}_labels" not in held:
            raise LabelError(f"{path} has {name}_images but no {name}_labels: add the labels")
        images = archive.header(f"{name}_images", instead="store images as one uint8 array, all of one size")
        _check_images(images, f"{path}: {images.name}", options)
        labels = archive.header(f"{name}_labels", instead="store labels as whole numbers from 0")
        _check_labels(labels, f"{path}: {labels.name}")
        if labels.shape[0] != images.shape[0]:
            raise LabelError(
                f"{path} has {images.shape[0]} images but {labels.shape[0]} labels in {name}: give one label "
                "for each image"
            )
        found += [images, labels]
        rows += images.shape[0]
    if "class_names" in held:
        names = archive.header(
            "class_names", instead="store names as strings, class_names=numpy.array(names, dtype=str)"
        )
        _check_names(names, path, rows)
        found.append(names)
    return found


def _check_images(images: Header, name: str, options: ReadOptions) -> None:
    shape = images.shape
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))):
        hint = "; move the channels last" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise DatasetError(f"{name} must be (n, h, w) or (n, h, w, 3), it is {shape}{hint}")
    height, width = shape[1:3]
    if shape[0] and not height * width:
        raise DatasetError(f"{name} must hold images with pixels, it is {shape}")
    if height * width > options.max_pixels:
        raise OversizedImageError(
            f"{name} has images of {width} × {height} pixels, more than the limit of "
            f"{options.max_pixels:,}; store them smaller"
        )
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise DatasetError(
            f"{name} must be uint8, or floating in [0, 1], it is {images.dtype}; convert it to uint8"
        )


def _check_labels(labels: Header, name: str) -> None:
    shape = labels.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        several = " (several labels for an image are not supported)" if len(shape) == 2 else ""
        raise LabelError(f"{name} must be (n,) or (n, 1), it is {shape}{several}")
    if labels.dtype.kind not in "uif":
        raise LabelError(
            f"{name} must be whole numbers from 0, it is {labels.dtype}; number the classes, and "
            "put their names in class_names"
        )


def _check_names(names: Header, path: Path, rows: int) -> None:
    if len(names.shape) != 1 or names.dtype.kind not in "USiu":
        raise LabelError(f"{path}: class_names must be a list of strings, it is {names.dtype} {names.shape}")
    if names.shape[0] > rows or names.nbytes > _NAME_BYTES:
        raise LabelError(
            f"{path}: class_names has {names.shape[0]:,} names of {names.nbytes:,} bytes in all, for "
            f"{rows:,} images: name the classes that have images, in at most {_NAME_BYTES:,} bytes"
        )


def _as_pixels(array: Array, name: str) -> NDArray[np.uint8]:
    """uint8 ``(n, h, w)`` or ``(n, h, w, 3)``, from what the file holds."""
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = _from_unit(array, name)
    return np.ascontiguousarray(array)


def _from_unit(array: Array, name: str) -> NDArray[np.uint8]:
    out = np.empty(array.shape, np.uint8)
    for row, image in enumerate(array):  # one at a time: no second copy in floating point
        if not (image.min() >= 0 and image.max() <= 1):  # also false for NaN
            raise DatasetError(
                f"{name} is floating and must lie in [0, 1], it goes from {image.min()} to "
                f"{image.max()} in image {row}; convert it to uint8 in 0 … 255"
            )
        out[row] = np.rint(image * 255)
    return out


def _as_labels(array: Array, name: str) -> NDArray[np.int64]:
    array = array.reshape(-1)
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.rint(array))).all():
        raise LabelError(f"{name} must be whole numbers, it holds fractions or NaN")
    if len(array) and (array.max() > 2**31 or array.min() < -(2**31)):
        raise LabelError(f"{name} must count the classes from 0, it goes up to {array.max()}")
    return array.astype(np.int64)


def _one_line_each(path: Path, names: Array) -> tuple[str, ...]:
    texts = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names]
    lines = tuple(" ".join(line.strip() for line in text.splitlines()) or text for text in texts)
    if len(set(lines)) < len(set(texts)):
        raise LabelError(f"{path}: class_names differ by a line break alone: write each name on one line")
    return lines


def _counted(path: Path, labels: dict[SplitName, NDArray[np.int64]]) -> tuple[str, ...]:
    """Numbers, as names of classes that have none."""
    count = 1 + max((int(part.max()) for part in labels.values() if len(part)), default=-1)
    rows = sum(map(len, labels.values()))
    if count > rows:  # would also be as many classes to make up names for
        raise LabelError(
            f"{path} has labels up to {count - 1} for {rows} images: count the classes from 0 without gaps"
        )
    if count < 2 and rows:
        raise TooFewClassesError(f"{path} needs at least two classes to tell apart, all its labels are equal")
    return tuple(map(str, range(max(count, 0))))
