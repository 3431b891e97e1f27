"""Reads a folder of class folders, optionally under `train/`, `val/` and `test/`.

What is passed over is counted; see `snt_zoo.data.folders`. What is found does not depend on the order in
which the disk lists it: class folders are sorted naturally (`2` before `10`), and images by their path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from snt_zoo.data.dataset import Split
from snt_zoo.data.decoding import check_header
from snt_zoo.data.folders.classes import ClassFolder, check_classes
from snt_zoo.data.folders.layout import find_splits, list_splits
from snt_zoo.data.folders.listing import Listing, natural
from snt_zoo.data.reader import RawDataset, ReadOptions, SplitName, register_reader
from snt_zoo.data.signatures import readable_formats
from snt_zoo.data.stores import EncodedStore
from snt_zoo.errors import DatasetError, EmptySplitError, LabelError


class _Labelled(NamedTuple):
    path: str
    label: int


@register_reader("folder", matches=Path.is_dir)
def read_folder(ref: str, options: ReadOptions) -> RawDataset:
    """Lists the images and checks each by its header, or wholly if bad ones are to be skipped.

    Hidden files, links that lead back, masks, what systems and tools write, and files that are no images are
    passed over, and counted. The classes of ``train/`` are the classes.

    Args:
        ref: The path.
        options: What to do with images that cannot be used.

    Raises:
        LabelError: Images lie in no class folder, a class is not in ``train/``, or the folders seem to be
            something else than classes.
        EmptySplitError: A split's folder holds no image.
        TooFewClassesError: There is one folder, in which the classes seem to lie.
        TooFewImagesError: A class has no image that can be read here.
        UnreadableImageError, OversizedImageError: An image cannot be used.
        DatasetError: The folder cannot be listed, or has two folders for one split.
    """
    root = Path(ref)
    listing = Listing(root)
    try:
        folders = find_splits(listing, partial=options.partial)
        listed = list_splits(listing, folders)
    except OSError as error:
        raise DatasetError(f"cannot list {error.filename}: {error.strerror}") from error
    leading = next(iter(listed))  # train, if there is one
    if not listed[leading]:
        raise _no_classes(listing, folders[leading])
    check_classes(folders[leading], listed[leading], root=os.fspath(root))
    classed = [listed["train"]] if "train" in listed else listed.values()
    class_names = tuple(sorted(set().union(*classed), key=natural))
    splits: dict[SplitName, Split] = {}
    for name, classes in listed.items():
        files = _label(listing, classes, class_names, folders[name])
        good = _usable(files, options)
        listing.pass_over("unreadable", sorted(file.path for file in set(files) - set(good)))
        store = EncodedStore([file.path for file in good], options.max_pixels)
        labels = torch.tensor([file.label for file in good], dtype=torch.int64)
        splits[name] = Split(store, labels)
    return RawDataset(
        root.resolve().name, class_names, splits, passed_over=listing.passed_over, links_out=listing.links_out
    )


def _label(
    listing: Listing, classes: Mapping[str, ClassFolder], class_names: tuple[str, ...], folder: str
) -> list[_Labelled]:
    unknown = [name for name, found in classes.items() if found.images and name not in class_names]
    if unknown:
        raise LabelError(
            f"{folder} has the class {unknown[0]!r}, which train lacks: add it there or remove it"
        )
    if not any(found.images for found in classes.values()):
        loose = listing.look(folder).images
        error = LabelError if loose else EmptySplitError
        raise error(
            f"{folder} holds {'images without class folders' if loose else 'no image'}: put images into it, "
            "in one folder for each class, or remove it so that a split is made"
        )
    labels = {name: label for label, name in enumerate(class_names)}
    return [_Labelled(file, labels[name]) for name, found in classes.items() for file in found.images]


def _no_classes(listing: Listing, train: str) -> DatasetError:
    if listing.look(train).images:
        return LabelError(
            f"{train} holds images, but no class folders: put the images of each class into a "
            "folder named after it"
        )
    return EmptySplitError(
        f"{listing.root} holds no class folders with images ({', '.join(readable_formats())}): put the "
        "images of each class into a folder named after it"
    )


def _usable(files: list[_Labelled], options: ReadOptions) -> list[_Labelled]:
    """The files that can be read; raises at the first bad one if those are refused."""
    if options.on_bad_image == "refuse":
        for file in files:  # by one thread: a header takes 0.1 ms, most of it Python's
            check_header(file.path, max_pixels=options.max_pixels)
        return files
    good = EncodedStore([file.path for file in files], options.max_pixels).usable()
    return [file for file, is_good in zip(files, good.tolist(), strict=True) if is_good]
