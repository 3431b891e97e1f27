"""Makes small datasets on disk and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from snt_zoo.data import Split
from snt_zoo.data.stores import ArrayStore

Array = NDArray[Any]


def pixels(*shape: int, seed: int = 0) -> Array:
    """Random uint8 of the shape."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def array_split(count: int, side: int = 8, classes: int = 3, seed: int = 0) -> Split:
    """A split of random RGB images in memory, with the classes in turn."""
    images = torch.from_numpy(pixels(count, side, side, 3, seed=seed))
    return Split(ArrayStore(images), torch.arange(count) % classes)


def npz_arrays(classes: int = 3, each: int = 10, side: int = 8) -> dict[str, Array]:
    """The arrays of a good file with all three splits."""
    arrays: dict[str, Array] = {}
    for seed, part in enumerate(("train", "val", "test")):
        count = classes * each
        arrays[f"{part}_images"] = pixels(count, side, side, seed=seed)
        arrays[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8)[:, None]
    return arrays


def write_npz(path: Path, **changes: Any) -> Path:
    """Writes the good file with some arrays changed, or left out where the change is None."""
    arrays = {**npz_arrays(), **changes}
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def write_class_folders(
    root: Path, classes: tuple[str, ...] = ("cat", "dog"), *, each: int = 8, seed: int = 0
) -> Path:
    """Writes PNGs of 10 × 12 pixels, each of its own content, in a folder for each class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            content = pixels(10, 12, 3, seed=1000 * seed + 100 * number + index)
            Image.fromarray(content).save(root / name / f"{index}.png")
    return root


def write_image(path: Path, *, seed: int = 0) -> Path:
    """Writes an image of 9 × 9 pixels, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(9, 9, 3, seed=seed)).save(path)
    return path
