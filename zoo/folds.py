"""Generalists for targets that the zoo's own saw, or of which they saw a relative.

A benchmark must not let a supernet answer for a target that it was trained on. The zoo's generalists saw
half of the targets of `benchmarks.transfer`: to leave them out and put nothing in their place would ask what
a zoo without generalists is worth. So each is trained again by its own recipe, less the relatives of the
targets of a fold (cross-fitting), and stands in for the zoo's where that is left out. Larger spaces and
sizes of images have none: they are too slow for the runs of a minute. They are built for a benchmark and not
shipped:

    python -m zoo.build --data DIR --folds a b --workers 2 --out FOLDS
"""

from __future__ import annotations

from collections.abc import Collection

from zoo.recipe import ZooRecipe, read_recipes
from zoo.sources import left_out, read_sources, related

FOLDS = {
    "a": ("emoji_category", "furniture_category", "ahcd_arabic_hand"),
    "b": ("openclipart_category", "animal_silhouette", "chars74k_natural"),
}
"""The targets of `benchmarks.transfer` that a generalist of the zoo may not answer for, in two folds: each
takes about half of a domain's sources, so that neither loses a domain."""

FOLDED = "nas_bench_201"  # the space of the generalists that are trained again, at the default size


def fold_recipes(folds: Collection[str] = tuple(FOLDS)) -> list[ZooRecipe]:
    """The recipes of several sources of which one is a relative of a target of a fold, without those.

    Longest first; named `NAME-fold-FOLD`.
    """
    sources = read_sources()
    found = []
    for fold in folds:
        relatives = {
            name
            for name, source in sources.items()
            if any(related(sources[target], source) for target in FOLDS[fold])
        }
        for recipe in read_recipes():
            reduced = recipe.without(relatives, f"{recipe.name}-fold-{fold}")
            small = recipe.space == FOLDED and recipe.input_size is None
            if small and 1 < len(reduced.sources) < len(recipe.sources):
                found.append(reduced)
    return sorted(found, key=lambda recipe: -recipe.expected_seconds)


def stand_ins(target: str) -> list[str]:
    """Names of the supernets that answer for a target in place of generalists that must not."""
    gone = set(left_out(target))
    return [
        recipe.name
        for fold, targets in FOLDS.items()
        if target in targets
        for recipe in fold_recipes([fold])
        if original(recipe.name) in gone
    ]


def original(name: str) -> str:
    """The supernet of the zoo that one of a fold stands in for; the name itself if it is none."""
    stem, mark, fold = name.rpartition("-fold-")
    return stem if mark and fold in FOLDS else name
