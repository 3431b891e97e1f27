"""Which datasets are relatives, whatever the benchmark: the unit of an evaluation, and of an interval."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.sources import read_sources

PHOTO_PARENTS = {
    "trash6": "trashnet",
    "animals20": "domain pictures",
    "objects25": "domain pictures",
    "birds15": "birds and butterflies",
    "butterflies10": "birds and butterflies",
}
"""Of the photographs for benchmarks those that are relatives; the others are their own parents."""


def parents(names: Iterable[str]) -> dict[str, str]:
    """The parent of each dataset, relatives by concept merged."""
    known = read_sources()
    found = {name: known[name].parent if name in known else PHOTO_PARENTS.get(name, name) for name in names}
    found = {name: known[parent].parent if parent in known else parent for name, parent in found.items()}
    by_concept: dict[str, str] = {}
    merged: dict[str, str] = {}

    def root(parent: str) -> str:
        while merged.get(parent, parent) != parent:
            parent = merged[parent]
        return parent

    for name in sorted(known):
        for concept in known[name].concepts:
            first = by_concept.setdefault(concept, known[name].parent)
            merged[root(known[name].parent)] = root(first)
    return {name: root(parent) for name, parent in found.items()}


def may_ship(name: str) -> bool:
    """Whether a predictor that learned from outcomes on a dataset may ship."""
    known = read_sources()
    return name in known and known[name].may_ship
