"""The images of a set, read once and kept in memory as a user's own script would."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Files:
    """Labelled files of one split.

    Args:
        paths: of the images.
        labels: int64, one for each.
    """

    paths: list[Path]
    labels: Tensor


def listed(folder: Path) -> dict[str, Files]:
    """The files of each split of a set; classes are numbered by their names in `train`."""
    classes = sorted(each.name for each in (folder / "train").iterdir() if each.is_dir())
    found = {}
    for split in SPLITS:
        pairs = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((folder / split / name).glob("*"))
        ]
        found[split] = Files([path for path, _ in pairs], torch.tensor([label for _, label in pairs]))
    return found


def draw(folder: Path, out: Path, per_class: int, seed: int) -> Path:
    """A copy of a set with so many training images of each class; the other splits stay whole."""
    chance = random.Random(seed)
    for split in SPLITS:
        for each in sorted((folder / split).iterdir()):
            (out / split / each.name).mkdir(parents=True)
            files = sorted(each.iterdir())
            if split == "train":
                files = chance.sample(files, min(per_class, len(files)))
            for file in files:
                shutil.copyfile(file, out / split / each.name / file.name)
    return out


def squash(size: int) -> Callable[[Image.Image], Image.Image]:
    """The whole image in a square, as `Resize((size, size))` of torchvision has it."""
    return lambda image: image.resize((size, size), Image.Resampling.BILINEAR)


def centre(size: int) -> Callable[[Image.Image], Image.Image]:
    """The short side at 8/7 of the size, and the middle of that: what ImageNet is measured with."""

    def view(image: Image.Image) -> Image.Image:
        scale = size * 8 / 7 / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return image.crop((left, top, left + size, top + size))

    return view


def read(paths: Sequence[Path], view: Callable[[Image.Image], Image.Image]) -> list[Tensor]:
    """Images by a view, uint8 ``3 x h x w`` each; all cores decode."""

    def one(path: Path) -> Tensor:
        with Image.open(path) as file:
            image = view(file.convert("RGB"))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(one, paths))


def roomy(size: int) -> Callable[[Image.Image], Image.Image]:
    """An image to be cropped at random: its short side is at most 8/7 of the size at which it is wanted.

    A crop of middling area is then about as large as it is wanted.
    """

    def view(image: Image.Image) -> Image.Image:
        scale = min(1.0, size * 8 / 7 / min(image.size))
        width, height = (round(side * scale) for side in image.size)
        return image.resize((width, height), Image.Resampling.BILINEAR)

    return view


def mild_crops(size: int) -> Callable[[Tensor], Tensor]:
    """A random part of half to all of an image, and its mirror image half of the time."""
    crop: Callable[[Tensor], Tensor] = v2.Compose(
        [v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    )
    return crop
