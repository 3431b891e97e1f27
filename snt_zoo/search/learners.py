"""What one epoch of training weights is: SGD on a cosine, cut short when the budget is spent.

The mean loss is read once an epoch, so that no step waits for it. Searchers, which train alphas too, build
on it (`snt_zoo.search.searchers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.data import Augmentation, Split, batches
from snt_zoo.errors import DivergenceError
from snt_zoo.search.checkpoint import nest, optimizer_tensors, restore_optimizer, unnest
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.device import mixed_precision
from snt_zoo.search.evaluate import evaluate
from snt_zoo.search.recipe import Recipe
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
        self.steps = 0  # that were made, through all epochs
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
        self.set_rate(progress)
        loss, gradients = self.gradients(self.loss, images, labels, self.parameters)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.update()
        self.steps += 1
        return loss

    def gradients(
        self,
        loss_of: Callable[[Tensor, Tensor], Tensor],
        images: Tensor,
        labels: Tensor,
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The loss of a batch and its gradients: every step, of weights or of alphas, has them from here.

        Args:
            loss_of: the mean loss of images with their labels.
            images: ``batch x 3 x size x size``.
            labels: ``batch``.
            parameters: what to differentiate by; nothing else gets gradients.

        Returns:
            The loss, detached, and a gradient for each parameter; None for those that took no part.
        """
        with mixed_precision(self.device):
            loss = loss_of(images, labels)
        return loss.detach(), list(torch.autograd.grad(loss, list(parameters), allow_unused=True))

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a weight step over some images."""
        return functional.cross_entropy(
            self.outputs(images), labels, label_smoothing=self.recipe.label_smoothing
        )

    def set_rate(self, progress: float) -> None:
        """The learning rate at some progress: half a cosine from the peak to zero."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak_lr * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def update(self) -> None:
        """Clip the gradients that lie at the parameters and move the weights by them."""
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

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
        return nest("weights", optimizer_tensors(self.optimizer)) | {"steps": torch.tensor(self.steps)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        restore_optimizer(self.optimizer, unnest("weights", tensors))
        self.steps = int(tensors["steps"])
