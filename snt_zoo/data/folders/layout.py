"""Which folders of a dataset are splits, and what lies in no class of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from snt_zoo.data.folders.classes import ClassFolder, list_classes
from snt_zoo.data.folders.listing import Listing, identity_of
from snt_zoo.data.reader import SPLIT_NAMES, SplitName
from snt_zoo.data.split_names import split_name
from snt_zoo.errors import DatasetError, EmptySplitError


def find_splits(listing: Listing, *, partial: bool = False) -> dict[SplitName, str]:
    """The folder of each split; the root itself is ``train`` where it has no split folders.

    Args:
        listing: of the dataset.
        partial: whether one without ``train`` will do.

    Raises:
        EmptySplitError: There are split folders, but none for ``train``, and it takes one.
        DatasetError: Two folders are for one split.
        OSError: A folder cannot be listed.
    """
    root = os.fspath(listing.root)
    # Beside a folder for validation, `eval` is what is reported on: it comes last.
    folders = sorted(listing.look(root).folders, key=lambda path: "eval" in Path(path).name.lower())
    named = [(path, name) for path in folders if (name := split_name(Path(path).name))]
    # Without training images `test 1` and `test 2` are classes.
    plain = any(name == "train" or not re.search(r"\d", Path(path).name) for path, name in named)
    if not plain or not _are_splits(listing, [path for path, _ in named]):
        return {"train": root}
    found: dict[SplitName, str] = {}
    for path, name in named:
        if name in found and "eval" in Path(path).name.lower() and "test" not in found:
            name = "test"
        if name in found:
            both = f"{Path(found[name]).name} and {Path(path).name}"
            raise DatasetError(f"{root} has two folders for {name}, {both}: keep one")
        found[name] = path
    if "train" not in found and not partial:
        raise EmptySplitError(
            f"{root} has a folder for {' and '.join(found)}, but none for train: add train/"
        )
    return {name: found[name] for name in SPLIT_NAMES if name in found}


def list_splits(listing: Listing, splits: Mapping[SplitName, str]) -> dict[SplitName, dict[str, ClassFolder]]:
    """The classes of each split; images in none of them are counted as passed over.

    Raises:
        LabelError: See `list_classes`.
        OSError: A folder cannot be listed.
    """
    root = os.fspath(listing.root)
    # Each folder once: a link that leads back to one of these must not mix its images in.
    entered = {
        root,
        *splits.values(),
        *(path for top in splits.values() for path in listing.look(top).folders),
    }
    seen = {identity_of(path) for path in entered}
    for folder in dict.fromkeys((root, *splits.values())):
        listing.pass_over("loose", listing.look(folder).images)
    if root not in splits.values():
        for folder in listing.look(root).folders:
            if folder not in splits.values():
                listing.pass_over("beside_splits", listing.below(folder, set(seen)).images)
    return {name: list_classes(listing, folder, seen) for name, folder in splits.items()}


def _are_splits(listing: Listing, named: Sequence[str]) -> bool:
    """Whether folders with the names of splits are splits: a class may be called "train" too."""
    looks = [listing.look(path) for path in named]
    inside = [{Path(path).name for path in look.folders} for look in looks]
    if any(names and not look.images for names, look in zip(inside, looks, strict=True)):
        return True
    # Loose images beside class folders: then the splits hold the same ones, or nothing else is there.
    shared = any(names & other for i, names in enumerate(inside) for other in inside[:i])
    return shared or (any(inside) and len(named) == len(listing.look(listing.root).folders))
