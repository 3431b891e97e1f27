"""Images that belong to another one and are no examples of a class: masks, overlays, thumbnails."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_WORDS = (
    r"(?:masks?|segmentation(?:class|object)?s?|segm?|labels?|annotations?|annotated|ground[ _-]?truths?|gt"
    r"|mattes?|trimaps?|overlays?|heatmaps?|thumb(?:nail)?s?)"
)
_ANY = re.compile(_WORDS, re.IGNORECASE)
_AFTER = re.compile(rf"(.+?)(?:[ _.-]+{_WORDS}[ _.-]*\d*)", re.IGNORECASE)  # x_mask, x_mask_1
_BEFORE = re.compile(rf"{_WORDS}[ _.-]+(.+)", re.IGNORECASE)  # mask_x
_FOLDER = re.compile(rf"[\\/ _.-]{_WORDS}[\\/]", re.IGNORECASE)  # masks/, image_masks/


def part_masks(images: Sequence[str], folder: str) -> tuple[list[str], list[str]]:
    """Parts the images of one class from their masks.

    A mask has a name, or lies in a folder of a name, that says so, and the same name as another image of the
    class but for that. A class may be called `mask`.

    Args:
        images: paths.
        folder: of the class, in which they lie.

    Returns:
        The images, and their masks.
    """
    if not any(_ANY.search(path, len(folder)) for path in images):
        return list(images), []
    stems = {path: os.path.splitext(os.path.basename(path))[0] for path in images}  # noqa: PTH119, PTH122
    in_mask_folder = {path: _FOLDER.search(path, len(folder)) is not None for path in images}
    wholes = {stem for path, stem in stems.items() if not in_mask_folder[path]}
    masks = {
        path
        for path, stem in stems.items()
        if any(whole in wholes for whole in _wholes(stem, in_mask_folder[path]))
    }
    return [path for path in images if path not in masks], [path for path in images if path in masks]


def _wholes(stem: str, in_mask_folder: bool) -> list[str]:
    """Names that the image would have whose mask this is."""
    found = [match[1] for pattern in (_AFTER, _BEFORE) if (match := pattern.fullmatch(stem))]
    return [*found, stem] if in_mask_folder else found
