"""Which class lies near which, as lines between two columns of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 380.0
ROW = 22.0
TOP = 26.0  # of the first row: the titles stand above it

_LEFT, _RIGHT = 150.0, 230.0  # where the lines begin and end
_SIGNS = 20  # of a name that is shown
_THICKEST, _THINNEST = 7.0, 1.2


@dataclass(frozen=True)
class Link:
    """A class of one side, and its counterpart.

    Args:
        target: name of the one.
        source: name of the other.
        distance: of the two, at least 0.
        share: of the one that is carried to the other, from 0 to 1.
    """

    target: str
    source: str
    distance: float
    share: float = 1.0


@dataclass(frozen=True)
class Line:
    """A drawn link."""

    path: str
    width: float
    title: str


@dataclass(frozen=True)
class Drawn:
    """Two columns of names with lines between them; lengths in pixels.

    Args:
        left: names and the height of each.
        right: likewise.
        lines: between them.
        hidden: links that are not drawn.
        height: of the picture.
    """

    left: tuple[tuple[str, float], ...]
    right: tuple[tuple[str, float], ...]
    lines: tuple[Line, ...]
    hidden: int
    height: float


def draw_links(links: Sequence[Link], *, most: int = 12) -> Drawn:
    """The nearest links.

    The left column keeps their order, nearest first. The right one is ordered by where its lines come from,
    so that few of them cross. A thicker line is a nearer pair.

    Args:
        links: in any order.
        most: that are drawn.
    """
    ordered = sorted(links, key=lambda link: (link.distance, link.target))
    shown = ordered[:most]
    left = list(dict.fromkeys(link.target for link in shown))
    heights = {name: TOP + ROW * (row + 0.5) for row, name in enumerate(left)}
    ends = {name: [heights[link.target] for link in shown if link.source == name] for name in _sources(shown)}
    right = sorted(ends, key=lambda name: sum(ends[name]) / len(ends[name]))
    # A shorter column is centred beside the longer one.
    start = TOP + ROW * (len(left) - len(right)) / 2
    places = {name: start + ROW * (row + 0.5) for row, name in enumerate(right)}
    near, far = (shown[0].distance, shown[-1].distance) if shown else (0.0, 0.0)
    return Drawn(
        left=tuple((name, heights[name]) for name in left),
        right=tuple((name, round(places[name], 1)) for name in right),
        lines=tuple(_line(link, heights[link.target], places[link.source], near, far) for link in shown),
        hidden=len(links) - len(shown),
        height=TOP + ROW * max(len(left), len(right)) + 8,
    )


def _sources(links: Sequence[Link]) -> list[str]:
    return list(dict.fromkeys(link.source for link in links))


def _line(link: Link, start: float, end: float, near: float, far: float) -> Line:
    middle = (_LEFT + _RIGHT) / 2
    closeness = 1.0 if far <= near else (far - link.distance) / (far - near)
    return Line(
        f"M{_LEFT:g} {start:g}C{middle:g} {start:g} {middle:g} {end:g} {_RIGHT:g} {end:g}",
        round(_THINNEST + (_THICKEST - _THINNEST) * closeness, 2),
        f"{link.target} ~ {link.source}: distance {link.distance:.2f}"
        + ("" if link.share >= 1.0 else f", {100 * link.share:.0f} % of it"),
    )


def short(name: str) -> str:
    """A name as far as there is room for it."""
    return name if len(name) <= _SIGNS else name[: _SIGNS - 1] + "…"
