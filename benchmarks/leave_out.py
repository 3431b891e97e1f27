"""A zoo in which no supernet answers for a target that it, or a relative of which it, was trained on.

Where that takes away a generalist, one that was trained without the relatives stands in for it (`zoo.folds`).
"""

from __future__ import annotations

from pathlib import Path

from snt_zoo.zoo import Zoo
from zoo.folds import FOLDS, fold_recipes, stand_ins
from zoo.sources import left_out


def open_zoo(home: Path, folds: Path | None) -> Zoo:
    """A zoo with the starter's supernets and those of the folds.

    Args:
        home: of its registry.
        folds: folder of the folds' bundles; None where no target needs them.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    zoo = Zoo.open(home)
    if folds is None:
        return zoo
    there = {record.name for record in zoo.list()}
    for recipe in fold_recipes():
        bundle = folds / recipe.name
        if not (bundle / "manifest.json").is_file():
            raise FileNotFoundError(
                f"{bundle} is not there: build it by python -m zoo.build --data DIR "
                f"--folds {' '.join(FOLDS)} --workers 2 --out {folds}"
            )
        if recipe.name not in there:
            zoo.add(bundle)
    return zoo


def excluded(zoo: Zoo, target: str) -> list[str]:
    """Ids of the supernets of a zoo that must not answer for a target, or need not.

    Not their names: that of a stand-in begins as that of the supernet which it stands in for.
    """
    gone = {*left_out(target), *(recipe.name for recipe in fold_recipes())} - set(stand_ins(target))
    return sorted(record.id for record in zoo.list() if record.name in gone)
