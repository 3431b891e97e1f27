"""Reads an `.npz` in MedMNIST's layout (Yang et al. 2023, https://medmnist.com).

`train_images`, `train_labels`, likewise `val_…` and `test_…`, and optionally `class_names`. An
archive from anywhere is safe to open: headers are judged before memory is spent, and nothing in it
is ever unpickled.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snt_zoo.data.dataset import Split
from snt_zoo.data.reader import SPLIT_NAMES, RawDataset, ReadOptions, SplitName, register_reader
from snt_zoo.data.stores import ArrayStore
from snt_zoo.errors import (
    DatasetError,
    LabelError,
    OversizedImageError,
    TooFewClassesError,
    UnknownFormatError,
    first_line,
)

# What all arrays together may take: a zip of a few megabytes can claim a thousand times as much.
MAX_ARRAY_BYTES = 8 * 2**30

_LAYOUT = "train_images, train_labels, val_… and test_… likewise, and optionally class_names"

_Array = NDArray[Any]


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
    arrays = _load(path)
    pixels: dict[SplitName, _Array] = {}
    labels: dict[SplitName, _Array] = {}
    for name in SPLIT_NAMES:
        if f"{name}_images" not in arrays:
            if f"{name}_labels" in arrays:
                raise LabelError(f"{path} has {name}_labels but no {name}_images: add or remove")
            continue
        if f"{name}_labels" not in arrays:
            raise LabelError(f"{path} has {name}_images but no {name}_labels: add the labels")
        images = _as_pixels(arrays.pop(f"{name}_images"), f"{path}: {name}_images", options)
        if name == "val" and not len(images):
            continue
        pixels[name] = images
        labels[name] = _as_labels(arrays.pop(f"{name}_labels"), f"{path}: {name}_labels")
    class_names = _class_names(path, arrays.get("class_names"), labels)
    splits = {
        name: Split(ArrayStore(torch.from_numpy(pixels[name])), torch.from_numpy(labels[name]))
        for name in pixels
    }
    return RawDataset(path.stem, class_names, splits)


def _load(path: Path) -> dict[str, _Array]:
    """The arrays of the layout, checked by their headers first."""
    wanted = [f"{name}_{part}" for name in SPLIT_NAMES for part in ("images", "labels")]
    try:
        with zipfile.ZipFile(path) as archive:
            held = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for key in ("train_images", "train_labels"):
                if key not in held:
                    raise UnknownFormatError(
                        f"{path} lacks {key}; it holds {', '.join(sorted(held)[:10])}; "
                        f"MedMNIST's layout is {_LAYOUT}"
                    )
            chosen = {key: held[key] for key in [*wanted, "class_names"] if key in held}
            total = sum(_declared_bytes(archive, info, path) for info in chosen.values())
            if total > MAX_ARRAY_BYTES:
                raise OversizedImageError(
                    f"{path} holds arrays of {total / 2**30:.1f} GiB, more than the limit of "
                    f"{MAX_ARRAY_BYTES / 2**30:.0f} GiB; use a folder of class folders instead"
                )
            return {key: _read_array(archive, info) for key, info in chosen.items()}
    except DatasetError:
        raise
    except zipfile.BadZipFile as error:
        raise UnknownFormatError(f"{path} is no .npz file, or is damaged: {error}") from error
    except MemoryError as error:
        raise OversizedImageError(
            f"{path} does not fit in memory; use a folder of class folders instead"
        ) from error
    except Exception as error:
        # On a damaged or crafted archive zipfile and numpy raise nearly anything: ValueError,
        # TypeError, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error, …
        raise DatasetError(
            f"cannot read {path}: {first_line(error)}; write it anew with numpy.savez"
        ) from error


def _declared_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> int:
    """The bytes that an array's own header says it takes; nothing of it is read."""
    with archive.open(info) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dtypes that are refused below anyway
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{info.filename} is of an unknown version of the .npy format")
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise DatasetError(
            f"{path} holds Python objects in {info.filename}, which are never unpickled; store "
            "images as one uint8 array of images of one size"
        )
    declared = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or declared > info.file_size:
        raise DatasetError(
            f"{path} is damaged: {info.filename} claims the shape {shape}, but has "
            f"{info.file_size:,} bytes; write it anew with numpy.savez"
        )
    return declared


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Array:
    with archive.open(info) as file:
        array: _Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _as_pixels(array: _Array, name: str, options: ReadOptions) -> NDArray[np.uint8]:
    """uint8 ``(n, h, w)`` or ``(n, h, w, 3)``, from what the file holds."""
    shape = array.shape
    if array.ndim == 4 and shape[3] == 1:
        array = array[..., 0]
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)):
        hint = "; move the channels last" if array.ndim == 4 and shape[1] in (1, 3) else ""
        raise DatasetError(f"{name} must be (n, h, w) or (n, h, w, 3), it is {shape}{hint}")
    height, width = shape[1:3]
    if len(array) and not height * width:
        raise DatasetError(f"{name} must hold images with pixels, it is {shape}")
    if height * width > options.max_pixels:
        raise OversizedImageError(
            f"{name} has images of {width} × {height} pixels, more than the limit of "
            f"{options.max_pixels:,}; store them smaller"
        )
    if array.dtype.kind == "f":
        array = _from_unit(array, name)
    if array.dtype != np.uint8:
        raise DatasetError(
            f"{name} must be uint8, or floating in [0, 1], it is {array.dtype}; convert it to uint8"
        )
    return np.ascontiguousarray(array)


def _from_unit(array: _Array, name: str) -> NDArray[np.uint8]:
    out = np.empty(array.shape, np.uint8)
    for row, image in enumerate(array):  # one at a time: no second copy in floating point
        if not (image.min() >= 0 and image.max() <= 1):  # also false for NaN
            raise DatasetError(
                f"{name} is floating and must lie in [0, 1], it goes from {image.min()} to "
                f"{image.max()} in image {row}; convert it to uint8 in 0 … 255"
            )
        out[row] = np.rint(image * 255)
    return out


def _as_labels(array: _Array, name: str) -> NDArray[np.int64]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        several = " (several labels for an image are not supported)" if array.ndim == 2 else ""
        raise LabelError(f"{name} must be (n,) or (n, 1), it is {array.shape}{several}")
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.rint(array))).all():
        raise LabelError(f"{name} must be whole numbers, it holds fractions or NaN")
    if array.dtype.kind not in "uif":
        raise LabelError(
            f"{name} must be whole numbers from 0, it is {array.dtype}; number the classes, and "
            "put their names in class_names"
        )
    if len(array) and (array.max() > 2**31 or array.min() < -(2**31)):
        raise LabelError(f"{name} must count the classes from 0, it goes up to {array.max()}")
    return array.astype(np.int64)


def _class_names(path: Path, names: _Array | None, labels: dict[SplitName, _Array]) -> tuple[str, ...]:
    if names is not None:
        if names.ndim != 1 or names.dtype.kind not in "USiu":
            raise LabelError(
                f"{path}: class_names must be a list of strings, it is {names.dtype} {names.shape}"
            )
        texts = (n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names)
        return tuple(texts)
    count = 1 + max((int(part.max()) for part in labels.values() if len(part)), default=-1)
    rows = sum(map(len, labels.values()))
    if count > rows:  # would also be as many classes to make up names for
        raise LabelError(
            f"{path} has labels up to {count - 1} for {rows} images: count the classes from 0 without gaps"
        )
    if count < 2 and rows:
        raise TooFewClassesError(f"{path} needs at least two classes to tell apart, all its labels are equal")
    return tuple(map(str, range(max(count, 0))))
