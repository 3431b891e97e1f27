"""What a regulariser of a search is, and where they are found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from snt_zoo.components import Components
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe


class Regulariser:
    """Watches a search, or corrects it, at the places where a searcher calls it.

    Here every place does nothing; a regulariser overrides those that it needs.

    Args:
        supernet: that is searched.
        recipe: its thresholds.
        sampled: whether the searcher runs one sampled path a step, and not all operations mixed.
    """

    name: ClassVar[str]

    def __init__(self, supernet: Supernet, recipe: Recipe, *, sampled: bool) -> None:
        self.supernet = supernet
        self.recipe = recipe
        self.sampled = sampled

    def obstacle(self) -> str | None:
        """Why it cannot act in this search; None if it can."""
        return None

    def adjusted(self, mixture: Mapping[str, Tensor], progress: float) -> Mapping[str, Tensor]:
        """The mixture that a training step runs with, at a progress of the search from 0 to 1."""
        return mixture

    def watched(self) -> Sequence[nn.Parameter]:
        """Weights whose gradient on the alphas' images it wants to see in every alpha step."""
        return ()

    def saw_alpha_step(self, gradients: Sequence[Tensor | None]) -> None:
        """The gradients of `watched` on the alphas' images, None for weights that took no part."""

    def before_update(self) -> None:
        """The weights' gradients lie at the parameters; they have not moved yet."""

    def after_update(self) -> None:
        """The weights have moved."""

    def after_epoch(self) -> None:
        """An epoch of the search is over."""

    def report(self) -> dict[str, Any]:
        """What it did and when, as plain data."""
        return {}

    def warnings(self) -> list[str]:
        """What the user should be told."""
        return []

    def state(self) -> dict[str, Tensor]:
        """Everything that what it does next depends on."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""


REGULARISERS: Components[type[Regulariser]] = Components("regulariser")
register_regulariser = REGULARISERS.register
list_regularisers = REGULARISERS.names
get_regulariser = REGULARISERS.get
