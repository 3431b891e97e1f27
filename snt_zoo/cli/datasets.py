"""Reads the DATASET of a command, and tells what was passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snt_zoo.cli.output import note
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset


def read_dataset(ref: str, on_bad_image: Any) -> ImageDataset:
    """Open a dataset; its splits are always the same, so that a later `evaluate` sees the same test part."""
    with waiting(f"reading {ref}"):
        from snt_zoo import open_dataset
        from snt_zoo.data.passed_over import lines

        data = open_dataset(ref, on_bad_image=on_bad_image)
    for line in lines(data.account()):
        note(line)
    return data
