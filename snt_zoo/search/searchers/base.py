"""What a searcher is, and where the searchers are found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.data import Split
from snt_zoo.errors import UnknownComponentError
from snt_zoo.search.checkpoint import nest, optimizer_tensors, restore_optimizer, unnest
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.supernet import Supernet


class Searcher(WeightLearner, ABC):
    """First-order bilevel training of a supernet (Liu et al. 2019, algorithm 1 with ξ = 0).

    A subclass says how the supernet is run in a weight step and in an alpha step.

    In each step the alphas move on a batch of `alpha_split`, then the weights on a batch of the weights'
    split. Before `recipe.warmup_share` of the stage only the weights move: alphas that are trained on
    random weights prefer operations without any.

    Args:
        network: the supernet.
        split: images that train the weights.
        alpha_split: images that train the alphas.
        recipe: hyperparameters.
        generator: as of `WeightLearner`.
        peak_lr: rate of the weights at progress 0.
    """

    def __init__(
        self,
        network: Supernet,
        split: Split,
        alpha_split: Split,
        *,
        recipe: Recipe,
        generator: torch.Generator,
        peak_lr: float,
    ) -> None:
        super().__init__(network, split, recipe=recipe, generator=generator, peak_lr=peak_lr)
        self.supernet = network
        self.alpha_split = alpha_split
        self.alphas = list(network.alphas.values())
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas,
            lr=recipe.alpha_lr,
            betas=recipe.alpha_betas,
            weight_decay=recipe.alpha_weight_decay,
        )
        self.alpha_batches = self.stream("alphas", alpha_split)

    @abstractmethod
    def alpha_outputs(self, images: Tensor) -> Tensor:
        """Logits of an alpha step, ``batch x num_classes``, differentiable in the alphas."""

    def step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        if progress >= self.recipe.warmup_share:
            self._alpha_step(*next(self.alpha_batches))
        return super().step(images, labels, progress)

    def _alpha_step(self, images: Tensor, labels: Tensor) -> None:
        # Only the alphas' gradients are asked for, so that no weight gradient is computed.
        _, gradients = self.gradients(self.alpha_loss, images, labels, self.alphas)
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad(set_to_none=True)

    def alpha_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of an alpha step over some images; see `WeightLearner.gradients`."""
        return functional.cross_entropy(self.alpha_outputs(images), labels)

    def state(self) -> dict[str, Tensor]:
        return super().state() | nest("alphas", optimizer_tensors(self.alpha_optimizer))

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_state(tensors)
        restore_optimizer(self.alpha_optimizer, unnest("alphas", tensors))


_SEARCHERS: dict[str, type[Searcher]] = {}


def register_searcher(name: str) -> Callable[[type[Searcher]], type[Searcher]]:
    """Make a searcher known under a name; raises `ValueError` if the name is taken."""

    def register(cls: type[Searcher]) -> type[Searcher]:
        if name in _SEARCHERS:
            raise ValueError(f"searcher {name!r} is registered already: choose another name")
        _SEARCHERS[name] = cls
        return cls

    return register


def list_searchers() -> list[str]:
    """Names of the searchers, sorted."""
    return sorted(_SEARCHERS)


def get_searcher(name: str) -> type[Searcher]:
    """A searcher by name.

    Raises:
        UnknownComponentError: no searcher of that name.
    """
    if name not in _SEARCHERS:
        raise UnknownComponentError(f"no searcher {name!r}: choose one of {', '.join(list_searchers())}")
    return _SEARCHERS[name]
