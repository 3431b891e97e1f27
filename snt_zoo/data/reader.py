"""What a dataset reader is, and how it is found.

A reader turns a reference into the splits that the source itself has; `splits` makes those that are
missing. Readers live in `readers/`, one a file, and register themselves by name; the package imports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snt_zoo.components import Components
from snt_zoo.data.dataset import Split
from snt_zoo.data.decoding import MAX_PIXELS
from snt_zoo.data.passed_over import PassedOver
from snt_zoo.data.rendering import PLAIN, Rendering
from snt_zoo.errors import UnknownComponentError

SplitName = Literal["train", "val", "test"]
OnBadImage = Literal["refuse", "skip"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class ReadOptions:
    """What the caller of `open_dataset` asks of every reader.

    Args:
        on_bad_image: Whether an unreadable or oversized image is refused or left out.
        max_pixels: Most pixels of one image.
        partial: Whether a source without a training part is read too, by the classes that it has.

    Raises:
        ValueError: `on_bad_image` is neither.
    """

    on_bad_image: OnBadImage = "refuse"
    max_pixels: int = MAX_PIXELS
    partial: bool = False

    def __post_init__(self) -> None:
        if self.on_bad_image not in ("refuse", "skip"):
            raise ValueError(f"expected on_bad_image to be 'refuse' or 'skip', got {self.on_bad_image!r}")


@dataclass(frozen=True, eq=False)
class RawDataset:
    """What a source holds, before it is checked and completed.

    Args:
        name: A short name for people.
        class_names: The name of each class, in the order of the labels.
        splits: At least "train", unless the caller takes a part; labels may still be out of range.
        passed_over: What was left out, by reason.
        links_out: Links that lead out of the source's folder, and were followed.
        rendering: See `ImageDataset`.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[SplitName, Split]
    passed_over: PassedOver = field(default_factory=dict)
    links_out: tuple[str, ...] = ()
    rendering: Rendering = PLAIN


ReadFunction = Callable[[str, ReadOptions], RawDataset]


@dataclass(frozen=True)
class Reader:
    """A registered reader.

    Args:
        name: Its name, and the prefix of its references unless it reads paths.
        read: Takes the path, or what follows ``name:``, and the options.
        matches: For a reader of paths, whether it reads this one.
    """

    name: str
    read: ReadFunction
    matches: Callable[[Path], bool] | None = None


READERS: Components[Reader] = Components("dataset reader")
list_readers = READERS.names


def register_reader(
    name: str, *, matches: Callable[[Path], bool] | None = None
) -> Callable[[ReadFunction], ReadFunction]:
    """Registers the function below it as the reader of that name.

    Args:
        name: The prefix by which references name it, as ``hf`` in ``hf:mnist``.
        matches: Makes it a reader of paths instead: whether it reads an existing path.

    Raises:
        ValueError: The name is taken.
    """

    def register(read: ReadFunction) -> ReadFunction:
        READERS.register(name)(Reader(name, read, matches))
        return read

    return register


def prefixed_reader(name: str) -> Reader:
    """The reader for references that start with ``name:``.

    Raises:
        UnknownComponentError: There is none.
    """
    known = {reader.name: reader for reader in READERS.known.values() if reader.matches is None}
    if name not in known:
        prefixes = ", ".join(f"{prefix}:" for prefix in sorted(known))
        raise UnknownComponentError(
            f"no dataset reader is named {name!r}; there are {prefixes} and paths to a folder of "
            "class folders or an .npz file"
        )
    return known[name]


def path_reader(path: Path) -> Reader | None:
    """The reader of an existing path, if there is one."""
    readers = READERS.known.values()
    return next((reader for reader in readers if reader.matches and reader.matches(path)), None)
