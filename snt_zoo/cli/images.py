"""Which images the IMAGE arguments of a command name."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from snt_zoo.errors import DatasetError, DatasetNotFoundError

STDIN = "-"


def listed(arguments: Iterable[str]) -> list[str]:
    """The paths of images, in the order of the arguments; within a folder or a pattern sorted.

    Args:
        arguments: files; folders, of which all images are taken at any depth; patterns; or `-`, for one such
            a line on the standard input. What exists is no pattern, whatever signs its name has.

    Raises:
        DatasetNotFoundError: a folder holds no image, a pattern fits nothing, or nothing was named at all.
    """
    found = [path for argument in arguments for path in _named(argument)]
    if not found:
        raise DatasetNotFoundError("the standard input names no image: write one path a line")
    return found


def _named(argument: str) -> Iterator[str]:
    if argument != STDIN:
        yield from _paths(argument)
        return
    # Names of files are bytes, whatever the locale says of the stream.
    for line in sys.stdin.buffer.read().splitlines():
        if text := os.fsdecode(line):
            yield from _paths(text)


def _paths(argument: str) -> list[str]:
    if Path(argument).is_dir():
        if not (images := _below(argument)):
            raise DatasetNotFoundError(f"{argument} holds no image, at any depth: name a folder of images")
        return images
    if not glob.has_magic(argument) or os.path.lexists(argument):
        return [argument]  # whoever reads it says what is wrong with it
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
    files = [path for path in matches if not Path(path).is_dir()]
    if not files:
        raise DatasetNotFoundError(
            f"no file fits the pattern {argument}: check it, or name files or a folder"
        )
    return files


def _below(folder: str) -> list[str]:
    from snt_zoo.data.folders.listing import Listing, identity_of

    try:
        return Listing(Path(folder)).below(folder, {identity_of(folder)}).images
    except OSError as error:
        raise DatasetError(f"cannot list {error.filename}: {error.strerror}") from error
