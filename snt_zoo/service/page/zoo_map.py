"""The map of the zoo: a dot for each supernet, near those that were trained on similar data.

A dot's place is that of its embedding (of several the mean) in the plane of all. Its colour is the first tag
that its author gave it, which says what its images show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.registry import Registry
from snt_zoo.service.page.classes import Classes, ClassNames
from snt_zoo.service.page.plane import Frame, Plane, Points, apart

SIZE = (1000.0, 600.0)
MARGIN = 85.0
MOST = 2000
"""Dots: of more supernets evenly many are drawn, by id. A page of 2,000 has 0.6 MB."""

COLOURS = 7
"""Colours of Okabe and Ito that are seen on light and on dark; what is rarer is grey."""

_RADII = ((60, 13.0), (200, 8.0), (600, 5.5), (MOST, 3.5))  # up to so many dots
_APART = 2.3  # radii from one dot's middle to the next: each can be pointed at
_NAMES = 6  # classes that are told of a dot
_ABOVE, _BELOW = 20.0, 34.0  # from a dot to the line of a name
_ROOM = (48.0, 22.0)  # half of what a name takes, to the sides and up and down
_PUSHED = 600  # dots that are pushed apart: more have no room, and n² distances take time


@dataclass(frozen=True)
class Dot:
    """A supernet on the map.

    Args:
        id: of it.
        x: pixels from the left.
        y: pixels from the top.
        colour: number of its group, or None for the rest.
        group: its first tag; empty if it has none.
        broad: whether it was trained on several datasets.
        lines: what is told of it; the first is its name.
    """

    id: str
    x: float
    y: float
    colour: int | None
    group: str
    broad: bool
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Supernets of one colour.

    Args:
        name: the tag.
        colour: its number; None for the rest.
        count: of supernets on the map.
        x: of its name on the map, if it has one there.
        y: likewise.
    """

    name: str
    colour: int | None
    count: int
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, eq=False)
class ZooMap:
    """What is drawn.

    Args:
        dots: in the order of their names.
        groups: the largest first.
        total: supernets in the registry.
        share: of the variance of the embeddings that is seen, from 0 to 1.
        radius: of a dot.
        plane: in which the embeddings were placed; None on an empty map.
        frame: how that became pixels.
    """

    dots: tuple[Dot, ...]
    groups: tuple[Group, ...]
    total: int
    share: float
    radius: float
    plane: Plane | None = None
    frame: Frame | None = None

    def place(self, vector: NDArray[np.floating]) -> tuple[float, float]:
        """Where an embedding falls, in pixels; the edge if it lies outside."""
        assert self.plane is not None and self.frame is not None
        x, y = self.frame.draw(self.plane.place(vector[None]))[0].round(1).tolist()
        return x, y

    def dot(self, id: str) -> Dot | None:
        """The dot of a supernet, if it is drawn."""
        return next((dot for dot in self.dots if dot.id == id), None)


def draw_map(
    records: Sequence[Record],
    vectors: Mapping[str, NDArray[np.floating]],
    classes: Mapping[str, tuple[Classes, ...]],
    *,
    total: int | None = None,
) -> ZooMap:
    """The map of some supernets.

    Args:
        records: of them.
        vectors: by id the embeddings of the datasets that each was trained on, ``n x dim``; one without is
            left out.
        classes: by id.
        total: supernets in the registry, if there are more.
    """
    shown = [record for record in records if len(vectors.get(record.id, ()))]
    groups = _groups(shown)
    count = len(records) if total is None else total
    if not shown:
        return ZooMap((), (), count, 0.0, _RADII[0][1])
    means = np.stack([np.asarray(vectors[record.id], dtype=np.float64).mean(0) for record in shown])
    plane = Plane.through(means)
    points = plane.place(means)
    frame = Frame.around(points, SIZE, margin=MARGIN)
    radius = next(size for most, size in _RADII if len(shown) <= most)
    places = frame.draw(points)
    if len(shown) <= _PUSHED:
        places = apart(places, _APART * radius, SIZE)
    colours = {group.name: group.colour for group in groups}
    dots = tuple(
        Dot(
            record.id,
            round(float(x), 1),
            round(float(y), 1),
            colours.get(_group(record)),
            _group(record),
            len(record.sources) > 1,
            tuple(_lines(record, classes.get(record.id, ()))),
        )
        for record, (x, y) in zip(shown, places, strict=True)
    )
    return ZooMap(dots, _named(groups, dots, places), count, plane.share, radius, plane, frame)


def _group(record: Record) -> str:
    return record.tags[0] if record.tags else ""


def _groups(records: Sequence[Record]) -> tuple[Group, ...]:
    counts = Counter(map(_group, records))
    named = sorted((name for name in counts if name), key=lambda name: (-counts[name], name))
    return tuple(
        Group(name, number if number < COLOURS else None, counts[name]) for number, name in enumerate(named)
    )


def _named(groups: Sequence[Group], dots: Sequence[Dot], places: Points) -> tuple[Group, ...]:
    """The groups, with a place for the name of each above or below its dots, if one is free there.

    Supernets of several sources lie between groups, and count for none.
    """
    found, taken = [], places
    for group in groups:
        own = places[[dot.group == group.name and not dot.broad for dot in dots]]
        if len(own):
            x = float(np.median(own[:, 0]))
            for y in (float(own[:, 1].min()) - _ABOVE, float(own[:, 1].max()) + _BELOW):
                spot = np.array([x, y - _ABOVE / 3])
                if (np.abs(taken - spot) > _ROOM).any(1).all():
                    group, taken = replace(group, x=round(x, 1), y=round(y, 1)), np.vstack([taken, spot])
                    break
        found.append(group)
    return tuple(found)


def _lines(record: Record, classes: Sequence[Classes]) -> list[str]:
    names = [name for each in classes for name in each.names]
    told = [record.name, f"trained on {_listed(record.sources, 3)}"]
    if names:
        told.append(f"{len(names):,} classes: {_listed(names, _NAMES)}")
    accuracy = record.test_accuracy
    told.append(
        f"{record.space}, {record.params:,} parameters"
        + ("" if accuracy is None else f", {100 * accuracy:.1f} % on its test images")
    )
    return told


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


class Atlas:
    """The map of a registry, kept until the registry changes."""

    def __init__(self, registry: Registry, classes: ClassNames) -> None:
        self._registry = registry
        self._classes = classes
        self._kept: tuple[int, ZooMap, tuple[Record, ...]] | None = None
        self._lock = Lock()

    def current(self) -> tuple[ZooMap, tuple[Record, ...]]:
        """The map as the registry is now, and the records of what is drawn."""
        with self._lock:
            revision = self._registry.revision()
            if self._kept is None or self._kept[0] != revision:
                self._kept = (revision, *self._drawn())
            return self._kept[1:]

    def _drawn(self) -> tuple[ZooMap, tuple[Record, ...]]:
        ids = sorted(self._registry.ids(Filter()))
        chosen = ids if len(ids) <= MOST else [ids[i * len(ids) // MOST] for i in range(MOST)]
        records = tuple(sorted(self._registry.records(chosen).values(), key=lambda each: each.id))
        classes = {record.id: self._classes.of(record) for record in records}
        vectors = self._registry.vectors(chosen)
        return draw_map(records, vectors, classes, total=len(ids)), records
