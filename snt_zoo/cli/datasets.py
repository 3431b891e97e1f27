"""Reads the DATASET of a command, and tells what was passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from snt_zoo.cli.output import note
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset


def read_dataset(ref: str, on_bad_image: Any) -> ImageDataset:
    """Open a dataset; its splits are always the same, so that a later `evaluate` sees the same test part."""
    with waiting(f"reading {ref}"):
        from snt_zoo import open_dataset

        data = open_dataset(ref, on_bad_image=on_bad_image)
    tell_passed_over(data.account())
    return data


def tell_passed_over(account: Mapping[str, Any]) -> None:
    """A line on what was passed over, and one on links that lead out, if there are any."""
    from snt_zoo.data.passed_over import lines

    for line in lines(account):
        note(line)
