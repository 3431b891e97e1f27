"""Which datasets the starter zoo is trained on, which it never sees, and which are relatives of which.

`sources.json` beside this file has a row for each dataset of the collection. A benchmark of transfer takes
its targets from here, and leaves out, for each, the supernets that were trained on a relative of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SOURCES = Path(__file__).parent / "sources.json"
RECIPES = Path(__file__).parent / "recipes"

Level = Literal["dataset", "parent", "family"]
"""How far relatives are left out; see `related`."""


@dataclass(frozen=True)
class Source:
    """One dataset.

    Args:
        dataset: name of its file.
        domain: glyph, icon, photo, ….
        parent: what it was cut from: for `font_*` the script, whose capitals, small letters, digits and
            punctuation are of the same typefaces; most are their own.
        family: what several parents were made from: `font_*` of all scripts share typefaces (not images),
            `icon_*` share icon sets (not icons).
        concepts: what its classes are where another dataset has the same ones, as digits.
        role: `source` if supernets of the zoo are trained on it, else `held out`.
        may_ship: whether its licence lets a supernet trained on it be shipped.
        source: place or package that it was taken from.
        licence: of its images.
        attribution: the line that its licence asks for, which the card of every supernet that saw it prints.
        target: whether it is fit to be the target of a benchmark: those whose test images resemble their
            training images, frame by frame or person by person, are not.
    """

    dataset: str
    domain: str
    parent: str
    family: str
    concepts: list[str]
    role: Literal["source", "held out"]
    may_ship: bool
    target: bool
    source: str
    licence: str
    attribution: str | None = None


def read_sources() -> dict[str, Source]:
    """All datasets, by name."""
    rows = json.loads(SOURCES.read_text(encoding="utf-8"))
    return {row["dataset"]: Source(**row) for row in rows}


def targets() -> list[Source]:
    """The datasets that a benchmark may ask about."""
    return [source for source in read_sources().values() if source.target]


def related(one: Source, other: Source, *, level: Level = "parent") -> bool:
    """Whether a supernet trained on `other` must not be a candidate for the target `one`.

    Args:
        one: the target.
        other: what a supernet was trained on.
        level: `dataset`: the same dataset only; `parent`: or one of the same parent, or with the same
            classes of the same kind (digits and digits); `family`: or one of the same family, the
            strictest reading.
    """
    if one.dataset == other.dataset:
        return True
    if level == "dataset":
        return False
    same = one.parent == other.parent or bool(set(one.concepts) & set(other.concepts))
    return same or (level == "family" and one.family == other.family)


def left_out(target: str, *, level: Level = "parent") -> list[str]:
    """Names of the recipes whose supernets are left out for a target: one of their sources is a relative.

    A generalist that saw a relative is left out with it; `zoo.folds` has others in its place. A dataset that
    is not in `sources.json` has no relative there.
    """
    sources = read_sources()
    if target not in sources:
        return []
    found = []
    for path in sorted(RECIPES.glob("*.json")):
        names: Sequence[str] = json.loads(path.read_text("utf-8"))["sources"]
        if any(related(sources[target], sources[name], level=level) for name in names):
            found.append(path.stem)
    return found
