"""What a file in `zoo/recipes/` says."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from zoo.sources import RECIPES, Source, read_sources


@dataclass(frozen=True)
class ZooRecipe:
    """One supernet of the starter zoo, as a file in `zoo/recipes/` says it.

    Args:
        name: of the supernet.
        description: a sentence for the card.
        sources: names of datasets, rows of `zoo/sources.json`; of several each has a head of its own.
        tags: words to find it by; a generalist has the tag `generalist`.
        epochs: of training.
        expected_seconds: processor time that the training takes, roughly; decides the order.
        seed: of the training.
        space: search space.
        hyperparameters: of the space.
        init: a starting point in place of fresh weights.
        input_size: side of the images, where it is not the default.
        pack: `starter` ships with the package; `pictures` is a package of its own, `packs/pictures`.
        weights: licence of the weights, with that of the starting point.
        training: fields of `Recipe` that differ from its defaults for pretraining.
    """

    name: str
    description: str
    sources: list[str]
    tags: list[str]
    epochs: int
    expected_seconds: int
    seed: int = 0
    space: str = "nas_bench_201"
    hyperparameters: dict[str, int] = field(default_factory=dict)
    init: str | None = None
    input_size: int | None = None
    pack: str = "starter"
    weights: str = "Apache-2.0"
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[Source]:
        """What is known of each source: where it comes from, its licence, whom to name."""
        known = read_sources()
        return [known[name] for name in self.sources]

    @property
    def licence(self) -> str:
        """Of the supernet, with those of the images that it saw."""
        images = "; ".join(dict.fromkeys(row.licence for row in self.rows))
        return f"weights: {self.weights}; trained on images under: {images}"

    def without(self, datasets: Collection[str], name: str) -> ZooRecipe:
        """The same recipe, of another name, less some of its sources."""
        kept = [name for name in self.sources if name not in datasets]
        seconds = round(self.expected_seconds * len(kept) / len(self.sources))
        return replace(self, name=name, sources=kept, expected_seconds=seconds)


def read_recipes() -> list[ZooRecipe]:
    """All recipes, longest first."""
    recipes = [
        ZooRecipe(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(RECIPES.glob("*.json"))
    ]
    return sorted(recipes, key=lambda recipe: -recipe.expected_seconds)
