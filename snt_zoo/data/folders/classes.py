"""The classes of a folder: which folders they are, and the images of each.

A layout that can be read in two ways is refused: what is taken for a class without being one spoils all that
comes after, and nobody is told.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snt_zoo.data.class_names import one_line
from snt_zoo.data.folders.listing import Identity, Listing, identity_of
from snt_zoo.data.folders.masks import part_masks
from snt_zoo.data.split_names import split_within
from snt_zoo.errors import LabelError, TooFewClassesError, TooFewImagesError

_EXPECTED = "expected CLASS/IMAGE, or train/CLASS/IMAGE and the same for val and test"
_NAMED = 3  # folders that a message names


@dataclass
class ClassFolder:
    """The images of one class in one split.

    Args:
        folders: Usually one; several where a name is spelt in two ways.
        images: Their paths, sorted.
        places: How many images each folder within it holds; "" is the class folder itself.
        unread: Pictures in formats that are not read here.
    """

    folders: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


def list_classes(listing: Listing, folder: str, seen: Iterable[Identity]) -> dict[str, ClassFolder]:
    """The images of each class folder of a split, at any depth; masks are left out.

    A folder that holds other files, but no picture, is no class.

    Args:
        listing: Of the dataset.
        folder: Of the split.
        seen: Folders that are not to be entered from below.

    Raises:
        LabelError: The names of two folders come to the same text.
        OSError: A folder cannot be listed.
    """
    folders = listing.look(folder).folders
    owners: dict[Identity, str] = {}
    for path in sorted(folders, key=lambda path: Path(path).is_symlink()):  # a folder before a link to it
        owners.setdefault(identity_of(path), path)
    own, seen, classes = set(owners.values()), {*seen, *owners}, dict[str, ClassFolder]()
    for path in folders:
        if path not in own:
            listing.pass_over("link", [path])
            continue
        below = listing.below(path, seen)
        if below.others and not (below.images or below.unread):
            listing.pass_over("no_class", [path])
            continue
        images, masks = part_masks(below.images, path)
        listing.pass_over("mask", masks)
        name = one_line(Path(path).name)
        found = classes.setdefault(name, ClassFolder())
        if any(_spelling(path) != _spelling(other) for other in found.folders):
            raise LabelError(
                f"{folder} has two class folders whose names come to {name!r}: rename one of them"
            )
        found.folders.append(path)
        found.images += images
        found.places.update(os.path.dirname(image[len(path) + 1 :]) for image in images)  # noqa: PTH120
        found.unread += below.unread
    return classes


def check_classes(folder: str, classes: Mapping[str, ClassFolder], *, root: str) -> None:
    """Refuses what seems to be something else than classes.

    Args:
        folder: Of the training split.
        classes: What it holds.
        root: The dataset's folder.

    Raises:
        LabelError: They are splits, or the classes seem to lie one level deeper.
        TooFewClassesError: There is one folder, in which the classes seem to lie.
        TooFewImagesError: A class has pictures, but none that can be read.
    """
    filled = {name: found.places for name, found in classes.items() if found.images}
    _refuse_splits(folder, list(filled))
    _refuse_same_subfolders(folder, filled)
    _refuse_copies(folder, filled)
    if len(filled) == 1:
        name, places = next(iter(filled.items()))
        _refuse_wrapper(folder, classes[name].folders[0], places, root=root)
    for name, found in classes.items():
        if found.unread and not found.images:
            raise TooFewImagesError(
                f"the class {name!r} has no image that can be read here, but {len(found.unread)} in another "
                f"format, such as {found.unread[0]}: convert them to PNG or JPEG; HEIC is read after "
                "pip install 'snt-zoo[heic]'"
            )


def _refuse_splits(folder: str, names: Sequence[str]) -> None:
    found = [split_within(name) for name in names]
    kinds: dict[str, set[str]] = {}
    for each in found:
        if each is None:
            return
        kinds.setdefault(each[1], set()).add(each[0])
    if any(len(splits) > 1 for splits in kinds.values()) or (len(names) == 1 and "" in kinds):
        raise LabelError(
            f"the folders in {folder} were taken for classes, and are named like splits ({_named(names)}): "
            f"{_EXPECTED}"
        )


def _refuse_same_subfolders(folder: str, classes: Mapping[str, Counter[str]]) -> None:
    if len(classes) < 2:
        return
    # One subfolder, such as images/, is only another level; a few images beside several change nothing.
    common = set.intersection(*map(set, classes.values())) - {""}
    if len(common) > 1 and _most_lie_in(common, classes.values()):
        which, inside = _named(classes), _named(sorted(common))
        if all(split_within(name) for name in common):
            understood = f"so that each class seems to have its own splits: {_EXPECTED}"
        else:
            understood = (
                "so that the classes seem to lie one level deeper: name one of them as the dataset, or move "
                f"their images together, {_EXPECTED}; if they are the classes, move the images out of their "
                "subfolders"
            )
        raise LabelError(
            f"the folders in {folder} were taken for classes ({which}), and hold the same subfolders "
            f"({inside}), {understood}"
        )


def _refuse_copies(folder: str, classes: Mapping[str, Counter[str]]) -> None:
    for name, places in classes.items():
        tops = {place: place.partition(os.sep)[0] for place in places}
        inside = {place for place, top in tops.items() if top in classes.keys() - {name}}
        if len({tops[place] for place in inside}) > 1 and _most_lie_in(inside, [places]):
            raise LabelError(
                f"{name!r} in {folder} was taken for a class, and holds folders named like the other classes "
                f"({_named(sorted(inside))}): move it out of {folder}"
            )


def _refuse_wrapper(folder: str, wrapper: str, places: Counter[str], *, root: str) -> None:
    inside = set(places) - {""}
    if len(inside) > 1 and _most_lie_in(inside, [places]):
        common = os.path.commonpath(inside)
        where = Path(wrapper, common)
        names = sorted({Path(place).relative_to(common).parts[0] for place in inside - {common}})
        remedy = f"name {where} as the dataset" if folder == root else f"move them up into {folder}"
        raise TooFewClassesError(
            f"{folder} has only one class folder, {Path(wrapper).name}, whose images lie in the folders "
            f"{_named(names)} of {where}: if these are the classes, {remedy}"
        )


def _most_lie_in(inside: Collection[str], classes: Iterable[Counter[str]]) -> bool:
    total = sum(classes, Counter[str]())
    return 2 * sum(total[place] for place in inside) > total.total()


def _named(names: Collection[str]) -> str:
    return ", ".join(map(one_line, list(names)[:_NAMED])) + ", …" * (len(names) > _NAMED)


def _spelling(path: str) -> str:
    """The name of a folder, by its bytes; é is one character, however it is written."""
    return unicodedata.normalize("NFC", os.fsencode(Path(path).name).decode("utf-8", "surrogateescape"))
