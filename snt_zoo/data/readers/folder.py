"""Reads a folder of class folders, optionally under `train/`, `val/` and `test/`.

What is found does not depend on the order in which the disk lists it: class folders are sorted
naturally (`2` before `10`), and images by their path.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from snt_zoo.data.dataset import Split
from snt_zoo.data.decoding import check_header
from snt_zoo.data.reader import RawDataset, ReadOptions, SplitName, register_reader, split_name
from snt_zoo.data.stores import EncodedStore
from snt_zoo.errors import (
    DatasetError,
    EmptySplitError,
    LabelError,
)

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip


class _Labelled(NamedTuple):
    path: str
    label: int


@register_reader("folder", matches=Path.is_dir)
def read_folder(ref: str, options: ReadOptions) -> RawDataset:
    """Lists the images and checks each by its header, or wholly if bad ones are to be skipped.

    Hidden files, links that lead back, and files that are no images are passed over. The classes of
    ``train/`` are the classes.

    Args:
        ref: The path.
        options: What to do with images that cannot be used.

    Raises:
        LabelError: Images lie in no class folder, or a class is not in ``train/``.
        EmptySplitError: A split's folder holds no image.
        UnreadableImageError, OversizedImageError: An image cannot be used.
        DatasetError: The folder cannot be listed, or has two folders for one split.
    """
    root = Path(ref)
    try:
        split_folders = _split_folders(root, partial=options.partial)
        listed = {name: _list_classes(folder) for name, folder in split_folders.items()}
    except OSError as error:
        raise DatasetError(f"cannot list {error.filename}: {error.strerror}") from error
    leading = next(iter(listed))  # train, if there is one
    if not listed[leading]:
        raise _no_classes(root, split_folders[leading])
    classed = [listed["train"]] if "train" in listed else listed.values()
    class_names = tuple(sorted(set().union(*classed), key=_natural))
    skipped: list[str] = []
    splits: dict[SplitName, Split] = {}
    for name, classes in listed.items():
        files = _label(classes, class_names, split_folders[name])
        good = _usable(files, options)
        bad = set(files) - set(good)
        skipped += sorted(os.path.relpath(file.path, root) for file in bad)
        store = EncodedStore([file.path for file in good], options.max_pixels)
        labels = torch.tensor([file.label for file in good], dtype=torch.int64)
        splits[name] = Split(store, labels)
    return RawDataset(root.resolve().name, class_names, splits, tuple(skipped))


def images_below(folder: str) -> list[str]:
    """Paths of all images in a folder, at any depth, sorted; raises `OSError` if it cannot be listed."""
    path = Path(folder)
    return list(_images_below(path, {_identity(path)}))


def _natural(name: str) -> tuple[list[str | int], str]:
    # Every odd part is a number, so that only like is compared with like.
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        seen = [e for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"]
    return sorted(seen, key=lambda entry: _natural(entry.name))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()


def _subfolders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _visible(folder) if entry.is_dir()]


def _holds_images(folder: Path) -> bool:
    return any(_is_image(entry) for entry in _visible(folder))


def _split_folders(root: Path, *, partial: bool) -> dict[SplitName, Path]:
    """The folder of each split; the root itself is ``train`` where it has no split folders."""
    found: dict[SplitName, Path] = {}
    for folder in _subfolders(root):
        name = split_name(folder.name)
        if name in found:
            raise DatasetError(
                f"{root} has two folders for {name}, {found[name].name} and {folder.name}: keep one"
            )
        if name is not None:
            found[name] = folder
    # A class may be called "train": then its folder holds images, not class folders.
    nested = [name for name, path in found.items() if _subfolders(path) and not _holds_images(path)]
    if not nested:
        return {"train": root}
    if "train" not in found and not partial:
        raise EmptySplitError(
            f"{root} has a folder for {' and '.join(found)}, but none for train: add train/"
        )
    return {name: found[name] for name in ("train", "val", "test") if name in found}


def _list_classes(folder: Path) -> dict[str, list[str]]:
    """The images of each class folder, at any depth."""
    classes = _subfolders(folder)
    # Each folder once: a link that leads back to one of these must not mix its images in.
    seen = {_identity(path) for path in (folder.parent, folder, *classes)}
    listed: dict[str, list[str]] = {}
    for path in classes:
        # One spelling: the same é can be one character or two, by the system that wrote it.
        name = unicodedata.normalize("NFC", os.fsencode(path.name).decode("utf-8", "replace"))
        listed.setdefault(name, []).extend(_images_below(path, seen))
    return listed


def _images_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[str]:
    for entry in _visible(folder):
        if entry.is_dir():
            path = Path(entry.path)
            if (identity := _identity(path)) not in seen:
                seen.add(identity)
                yield from _images_below(path, seen)
        elif _is_image(entry):
            yield entry.path


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _label(classes: dict[str, list[str]], class_names: tuple[str, ...], folder: Path) -> list[_Labelled]:
    unknown = [name for name, files in classes.items() if files and name not in class_names]
    if unknown:
        raise LabelError(
            f"{folder} has the class {unknown[0]!r}, which train lacks: add it there or remove it"
        )
    if not any(classes.values()):
        loose = "images without class folders" if _holds_images(folder) else "no image"
        error = LabelError if _holds_images(folder) else EmptySplitError
        raise error(
            f"{folder} holds {loose}: put images into it, in one folder for each class, or remove "
            "it so that a split is made"
        )
    labels = {name: label for label, name in enumerate(class_names)}
    return [_Labelled(file, labels[name]) for name, files in classes.items() for file in files]


def _no_classes(root: Path, train: Path) -> DatasetError:
    if _holds_images(train):
        return LabelError(
            f"{train} holds images, but no class folders: put the images of each class into a "
            "folder named after it"
        )
    return EmptySplitError(
        f"{root} holds no class folders with images ({', '.join(SUFFIXES)}): put the images of "
        "each class into a folder named after it"
    )


def _usable(files: list[_Labelled], options: ReadOptions) -> list[_Labelled]:
    """The files that can be read; raises at the first bad one if those are refused."""
    if options.on_bad_image == "refuse":
        for file in files:  # by one thread: a header takes 0.1 ms, most of it Python's
            check_header(file.path, max_pixels=options.max_pixels)
        return files
    good = EncodedStore([file.path for file in files], options.max_pixels).usable()
    return [file for file, is_good in zip(files, good.tolist(), strict=True) if is_good]
