"""Reads the DATASET of a command, and tells what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snt_zoo.cli.output import note
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset

_NAMED = 3  # skipped files that are named


def read_dataset(ref: str, on_bad_image: Any) -> ImageDataset:
    """Open a dataset; its splits are always the same, so that a later `evaluate` sees the same test part."""
    with waiting(f"reading {ref}"):
        from snt_zoo import open_dataset

        data = open_dataset(ref, on_bad_image=on_bad_image)
    tell_unreadable(data.skipped)
    return data


def tell_unreadable(skipped: Sequence[str]) -> None:
    """A line on the images that could not be read, if there are any."""
    if skipped:
        named = ", ".join(skipped[:_NAMED])
        more = ", ..." if len(skipped) > _NAMED else ""
        note(f"left out {len(skipped)} unreadable images: {named}{more}")
