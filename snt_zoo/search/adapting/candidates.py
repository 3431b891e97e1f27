"""A candidate: a supernet that may be adapted to a task, and the recipe by which it would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.bilevel import check_recipe, starting_point
from snt_zoo.search.recipe import Recipe

SCRATCH = "scratch"
"""Id of a candidate with fresh weights."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One that may be adapted.

    Args:
        id: of a supernet, or `SCRATCH`.
        source: a pretrained supernet, or the config of one to begin with fresh weights.
        recipe: that it is trained by.
        breadth: number of datasets that it was trained on.
        macs: multiply-accumulates of its derived network for one image, where they are known.
        licences: its own and those of the datasets that it was trained on, by their names.
    """

    id: str
    source: Supernet | NetworkConfig
    recipe: Recipe
    breadth: int = 0
    macs: int | None = None
    licences: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        id: str,
        source: Supernet | NetworkConfig,
        changes: Mapping[str, Any] | None = None,
        *,
        breadth: int = 0,
        macs: int | None = None,
    ) -> Candidate:
        """A candidate with the recipe that is right for its source, but for some changes.

        Raises:
            ConfigError: no such field of a recipe, or a value of another type.
            UnknownComponentError: the recipe names a searcher, regulariser or selection that there is not.
        """
        recipe = default_recipe(source).override(changes or {})
        check_recipe(recipe)
        return cls(id, source, recipe, breadth, macs)

    @property
    def cost(self) -> float | None:
        """From which is guessed what its head will take: multiply-accumulates, weighed by their time."""
        config = self.source.config if isinstance(self.source, Supernet) else self.source
        return None if self.macs is None else self.macs * config.build_space().mac_time

    def start(self, data: ImageDataset, limits: Limits, seed: int, device: torch.device) -> Supernet:
        """Its supernet with a fresh head.

        Raises:
            InfeasibleError: no network of its space is within the limits.
        """
        supernet = starting_point(self.source, data.num_classes, self.recipe, seed)
        supernet.bound = limits.bound(supernet.config)
        return supernet.placed(device)


def default_recipe(source: Supernet | NetworkConfig) -> Recipe:
    """The recipe of a run: `Recipe.for_transfer()` from a supernet, `Recipe()` from scratch.

    A space whose supernets may hold a published network has large ones, of which a short run makes few steps:
    at a lower rate, and with an average over fewer of them (docs/decisions.md, 49).
    """
    if not isinstance(source, Supernet):
        return Recipe()
    recipe = Recipe.for_transfer()
    return replace(recipe, derived_lr=0.03, average=0.9) if source.space.may_be_pretrained else recipe
