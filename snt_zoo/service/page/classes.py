"""Names of the classes that each supernet was trained on, by source; and which supernets a word fits.

A version never changes, so what was read of one is kept.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from snt_zoo.errors import BundleError
from snt_zoo.registry.catalog.records import Record

KEPT = 20_000
"""Versions whose names are kept."""


@dataclass(frozen=True)
class Classes:
    """Classes of one source.

    Args:
        source: name of the dataset; empty where it is not told which class is of which.
        names: of its classes.
    """

    source: str
    names: tuple[str, ...]


def classes_of(document: Mapping[str, Any]) -> tuple[Classes, ...]:
    """The classes by source, as `config.json` tells them."""
    names = tuple(document["class_names"])
    datasets = document["training"]["datasets"]
    heads = document["network"].get("heads", [])
    if len(datasets) == 1:
        return (Classes(datasets[0]["name"], names),)
    if not heads:
        return (Classes("", names),)
    ends = list(itertools.accumulate(heads))
    # Classes of several sources are called `SOURCE/CLASS`.
    return tuple(
        Classes(data["name"], tuple(n.removeprefix(f"{data['name']}/") for n in names[end - size : end]))
        for data, size, end in zip(datasets, heads, ends, strict=True)
    )


class ClassNames:
    """The classes of supernets, read when they are first asked for. Several threads may ask at once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Classes, ...]] = OrderedDict()
        self._lock = Lock()

    def of(self, record: Record) -> tuple[Classes, ...]:
        """The classes of one, by source; none if its files are gone or damaged."""
        with self._lock:
            if record.digest in self._kept:
                self._kept.move_to_end(record.digest)
                return self._kept[record.digest]
        try:
            found = classes_of(record.document())
        except BundleError:
            return ()
        with self._lock:
            self._kept[record.digest] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def fits(self, record: Record, word: str) -> bool:
        """Whether a word stands in a class, a source, a tag or the name of a supernet, in any case of
        letters."""
        asked = word.casefold()
        said = (record.name, *record.sources, *record.tags)
        if any(asked in text.casefold() for text in said):
            return True
        return any(asked in name.casefold() for each in self.of(record) for name in each.names)

    def found(self, record: Record, word: str) -> tuple[str, ...]:
        """The names of classes that a word stands in, each once."""
        asked = word.casefold()
        names = (name for each in self.of(record) for name in each.names)
        return tuple(dict.fromkeys(name for name in names if asked in name.casefold()))
