"""What one epoch of training is: of weights alone, or of weights and alphas by a searcher.

A searcher is first-order bilevel training (Liu et al. 2019, algorithm 1 with ξ = 0) with its own way of
running the supernet; searchers register under a name. All share the weight step. The mean loss is read
once an epoch, so that no step waits for it.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.data import Augmentation, Split, batches
from snt_zoo.errors import DivergenceError, UnknownComponentError
from snt_zoo.search.checkpoint import nest, optimizer_tensors, restore_optimizer, unnest
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.device import mixed_precision
from snt_zoo.search.evaluate import evaluate
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.spaces import Choice
from snt_zoo.search.supernet import Supernet

Progress = Callable[[], float]
"""How far the stage has come, from 0 to 1; 1 ends it."""


class WeightLearner:
    """Trains the weights of a network by SGD with momentum on a cosine.

    Args:
        network: a derived model, or a supernet (whose alphas then stay as they are).
        split: training images.
        recipe: hyperparameters.
        generator: on the CPU; decides order and augmentation.
        peak_lr: the rate at progress 0.
    """

    def __init__(
        self,
        network: Supernet | DerivedModel,
        split: Split,
        *,
        recipe: Recipe,
        generator: torch.Generator,
        peak_lr: float,
    ) -> None:
        self.network = network
        self.split = split
        self.recipe = recipe
        self.generator = generator
        self.peak_lr = peak_lr
        self.device = next(network.parameters()).device
        self.parameters: list[nn.Parameter] = [
            *network.trunk.parameters(),
            *network.head.parameters(),
        ]
        self.optimizer = torch.optim.SGD(
            self.parameters,
            lr=peak_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )

    def epoch(self, progress: Progress) -> float:
        """One pass over the training images, cut short when `progress` reaches 1.

        Returns:
            The mean loss.

        Raises:
            DivergenceError: the loss is not finite.
        """
        self.network.train()
        total = torch.zeros((), device=self.device)
        steps = 0
        for images, labels in self.loader(self.split):
            done = progress()
            if done >= 1 and steps:
                break
            total += self.step(images, labels, done)
            steps += 1
        mean = float(total) / max(steps, 1)
        if not math.isfinite(mean):
            raise DivergenceError(
                f"the training loss became {mean}: lower the learning rate (now {self.peak_lr:g}) or "
                "check the images and labels"
            )
        return mean

    def step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """One step; returns the loss, still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak_lr * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        with mixed_precision(self.device):
            outputs = self.outputs(images)
            loss = functional.cross_entropy(outputs, labels, label_smoothing=self.recipe.label_smoothing)
        # Only the weights' gradients are asked for; operations that took no part have none.
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def outputs(self, images: Tensor) -> Tensor:
        """Logits of a weight step, ``batch x num_classes``."""
        out: Tensor = self.network(images)
        return out

    def evaluate(self, split: Split) -> float:
        """Accuracy of the network as it stands, from 0 to 1."""
        return evaluate(self.network, split)

    def loader(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled, augmented pass over a split."""
        config = self.network.config
        return batches(
            split,
            size=config.input_size,
            batch_size=self.recipe.batch_size,
            normalisation=config.normalisation,
            device=self.device,
            generator=self.generator,
            shuffle=True,
            augment=Augmentation.named(self.recipe.augmentation),
        )

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on, but the network and the generator."""
        return nest("weights", optimizer_tensors(self.optimizer))

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        restore_optimizer(self.optimizer, unnest("weights", tensors))


class Searcher(WeightLearner, ABC):
    """First-order bilevel training of a supernet.

    In each step the alphas move on a batch of `alpha_split`, then the weights on a batch of the weights'
    split. Before `recipe.warmup_share` of the stage only the weights move: alphas that are trained on
    random weights prefer operations without any.

    Args:
        network: the supernet.
        split: images that train the weights.
        alpha_split: images that train the alphas.
        recipe: hyperparameters.
        generator: on the CPU; decides order, augmentation and sampled paths.
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
        self._alpha_batches: Iterator[tuple[Tensor, Tensor]] = iter(())

    @abstractmethod
    def alpha_outputs(self, images: Tensor) -> Tensor:
        """Logits of an alpha step, ``batch x num_classes``, differentiable in the alphas."""

    def epoch(self, progress: Progress) -> float:
        # As many passes over the alphas' images as the epoch needs, begun anew with every epoch: so an
        # epoch depends on nothing that a checkpoint between epochs does not hold.
        self._alpha_batches = itertools.chain.from_iterable(
            self.loader(self.alpha_split) for _ in itertools.count()
        )
        return super().epoch(progress)

    def step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        if progress >= self.recipe.warmup_share:
            self._alpha_step(*next(self._alpha_batches))
        return super().step(images, labels, progress)

    def _alpha_step(self, images: Tensor, labels: Tensor) -> None:
        with mixed_precision(self.device):
            loss = functional.cross_entropy(self.alpha_outputs(images), labels)
        # Only the alphas' gradients are asked for, so that no weight gradient is computed.
        gradients = torch.autograd.grad(loss, self.alphas, allow_unused=True)
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad(set_to_none=True)

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


@register_searcher("darts")
class MixtureSearcher(Searcher):
    """DARTS (Liu et al. 2019): every step computes all operations, mixed by the softmax of the alphas."""

    def outputs(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            mixture = self.supernet.mixture()
        out: Tensor = self.supernet(images, mixture)
        return out

    def alpha_outputs(self, images: Tensor) -> Tensor:
        out: Tensor = self.supernet(images, self.supernet.mixture())
        return out

    def evaluate(self, split: Split) -> float:
        return evaluate(self.supernet, split, mixed=True)


@register_searcher("gdas")
class PathSearcher(Searcher):
    """GDAS (Dong and Yang 2019, arXiv 1910.04465): every step computes one sampled architecture.

    Gumbel noise on the alphas gives an architecture drawn from the softmax; a weight step trains that
    path alone, an alpha step passes gradients to the alphas through the soft sample (straight through).
    A step costs what the derived network costs, and the weights learn to work in a path of their own, so
    that a derived network inherits accuracy and not only weights.
    """

    def outputs(self, images: Tensor) -> Tensor:
        _, choice = self._sample()
        out: Tensor = self.supernet(images, None, choice)
        return out

    def alpha_outputs(self, images: Tensor) -> Tensor:
        soft, choice = self._sample()
        hard = {kind: weights - weights.detach() + 1.0 for kind, weights in soft.items()}
        out: Tensor = self.supernet(images, hard, choice)
        return out

    def _sample(self) -> tuple[dict[str, Tensor], Choice]:
        """Soft Gumbel-softmax weights for each kind of cell, and the path of their genotype."""
        soft = {}
        for kind, alpha in self.supernet.alphas.items():
            noise = torch.empty(alpha.shape).exponential_(generator=self.generator).log().neg()
            soft[kind] = (alpha + noise.to(alpha.device)).softmax(dim=-1)
        space = self.supernet.space
        return soft, space.choice(space.discretise(soft))
