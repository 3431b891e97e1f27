"""What a searcher is, and where the searchers are found by name."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.components import Components
from snt_zoo.data import Split
from snt_zoo.networks.heads import cross_entropy
from snt_zoo.networks.spaces import Bound, Choice
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.checkpoint import nest, optimizer_tensors, restore_optimizer, unnest
from snt_zoo.search.conflict import combined
from snt_zoo.search.learners import Progress, WeightLearner
from snt_zoo.search.optimizers import Adam
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import Regulariser, get_regulariser
from snt_zoo.search.selection import select

Batch = tuple[Tensor, Tensor]
"""Images ``batch x 3 x size x size``, and their labels ``batch``."""


class Searcher(WeightLearner, ABC):
    """Bilevel training of a supernet (Liu et al. 2019, algorithm 1); first order unless told otherwise.

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

    Raises:
        ConfigError: the searcher cannot search that supernet.
        UnknownComponentError: the recipe names a regulariser that there is not.
    """

    sampled: ClassVar[bool] = False
    """Whether a step runs one sampled path, and not all operations mixed."""
    warmup: ClassVar[float] = 1.0
    """Length of the alphas' warm-up, in units of `recipe.warmup_share`."""

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
        self.progress = 0.0
        self.decided = False
        """Whether the architecture was chosen before the end, to train its path."""
        self.alphas: list[nn.Parameter] = [*network.alphas.values(), *network.edge_alphas.values()]
        self.alpha_optimizer = Adam(
            self.alphas,
            lr=recipe.alpha_lr,
            betas=recipe.alpha_betas,
            weight_decay=recipe.alpha_weight_decay,
            fused=True if self.device.type == "cuda" else None,  # few numbers: launches are what it costs
        )
        self.alpha_batches = self.streams.open("alphas", alpha_split)
        self.regularisers: list[Regulariser] = []
        self.idle: dict[str, str] = {}
        """Regularisers that are on but cannot act, and why."""
        self._bound: Bound | None = None
        self._moved_work: list[tuple[Mapping[str, Tensor], int, int]] = []
        self._add_regularisers()
        self.watched = [weight for each in self.regularisers for weight in each.watched()]
        self.alpha_graphs = self._step_graphs(self.alpha_loss, [*self.alphas, *self.watched])

    @classmethod
    def prepared(cls, config: NetworkConfig) -> NetworkConfig:
        """The network that a search from fresh weights begins with, where it was asked for `config`."""
        return config

    @abstractmethod
    def alpha_outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        """Logits of an alpha step, ``batch x num_classes``, differentiable in the alphas or the inputs."""

    def alpha_inputs(self) -> Sequence[Tensor]:
        """What `alpha_loss` takes besides its images, differentiable in the alphas; see `gradients`."""
        return (self.penalty(),)

    def epoch(self, progress: Progress, *, steps: int | None = None) -> float:
        loss = super().epoch(progress, steps=steps)
        for each in self.regularisers:
            each.after_epoch()
        return loss

    def step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        self.progress = progress
        self.set_rate(progress)
        if self.settled and not self.decided:
            self.supernet.commit(select(self)[0])
            self.decided = True
        if self.warm and not self.settled and self.steps % self.recipe.alpha_every == 0:
            self._alpha_step(*next(self.alpha_batches), training=(images, labels))
        return super().step(images, labels, progress)

    @property
    def warm(self) -> bool:
        """Whether the weights have been trained enough for the alphas to move."""
        return self.progress >= self.warmup * self.recipe.warmup_share

    @property
    def patience(self) -> int:
        # Before the path is trained nothing of it gets better: nobody would live to see it settle.
        return 0 if self.recipe.settle_share else super().patience

    @property
    def settled(self) -> bool:
        """Whether only the path of an architecture is trained, which the recipe's selection has chosen."""
        share = self.recipe.settle_share
        return share > 0 and self.progress >= 1 - share

    @property
    def repeats(self) -> bool:
        return self.settled or not self.sampled

    @functools.cached_property
    def path(self) -> Choice:
        """That of the genotype, once it is settled: to find it a GPU is waited for."""
        return self.supernet.choice()

    def loss(self, images: Tensor, labels: Tensor, *inputs: Tensor) -> Tensor:
        """Mean loss of a weight step: as the searcher runs the supernet, or by the path of its genotype."""
        if not self.settled:
            return super().loss(images, labels, *inputs)
        outputs = self.supernet(images, None, self.path)
        return cross_entropy(outputs, labels, self.heads, label_smoothing=self.recipe.label_smoothing)

    def _alpha_step(self, images: Tensor, labels: Tensor, *, training: Batch) -> None:
        gradients = self.alpha_gradients((images, labels), training)
        for alpha, gradient in zip(self.alphas, gradients, strict=False):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad(set_to_none=True)
        start = len(self.alphas)
        for each in self.regularisers:
            end = start + len(each.watched())
            each.saw_alpha_step(gradients[start:end])
            start = end

    def alpha_gradients(self, validation: Batch, training: Batch) -> Sequence[Tensor | None]:
        """Gradients of the alphas' loss in the alphas and then in the `watched` weights.

        Args:
            validation: a batch of the alphas' images.
            training: the batch on which the weights will move next.
        """
        # Nothing else's gradient is asked for, so that none is computed.
        wanted = [*self.alphas, *self.watched]
        images, labels = validation
        parts = self.parts(self.alpha_batches) or [len(labels)]
        graphs = self.alpha_graphs if self.repeats else None
        found = [
            self.gradients(self.alpha_loss, *pair, wanted, inputs=self.alpha_inputs, graphs=graphs)[1]
            for pair in zip(torch.split(images, parts), torch.split(labels, parts), strict=True)
        ]
        # Alphas are moved by Adam, which has no use for clipping, and by few numbers: the mean will do.
        return combined(found, "mean", clip=self.recipe.clip, generator=self.generator)

    def alpha_loss(self, images: Tensor, labels: Tensor, penalty: Tensor, *inputs: Tensor) -> Tensor:
        """What the alphas minimise, a scalar: the cross-entropy and the recipe's penalties.

        Args:
            images: ``batch x 3 x size x size``.
            labels: ``batch``.
            penalty: and the others: `alpha_inputs`.
        """
        return cross_entropy(self.alpha_outputs(images, *inputs), labels, self.heads) + penalty

    def penalty(self) -> Tensor:
        """`macs_penalty` times the logarithm of the expected MACs, as far as they are above the bound; and
        likewise of the expected latency.

        The penalty of FBNet (Wu et al. 2019, arXiv 1812.03443, equation 3) on a sum of expected costs
        (their equation 8), added and not multiplied, so that it does not fade with the loss. The
        expectation is that of the mixture: dead edges and whole-network rules are not known to it.
        """
        total = zero = torch.zeros((), device=self.device)
        if not self.recipe.macs_penalty:
            return zero
        for table, fixed, most in self._work():
            expected = zero + fixed
            for kind, weights in self.supernet.probabilities().items():
                expected = expected + (weights * table[kind].to(weights)).sum()
            total = total + (expected / most).log().clamp_min(0)
        return self.recipe.macs_penalty * total

    def _work(self) -> list[tuple[Mapping[str, Tensor], int, int]]:
        """`Bound.work` where the alphas are; kept, as a GPU is waited for when it is moved there."""
        bound = self.supernet.bound
        if bound is not self._bound:
            self._bound = bound
            self._moved_work = [
                ({kind: costs.to(self.device) for kind, costs in table.items()}, fixed, most)
                for table, fixed, most in (bound.work() if bound else ())
            ]
        return self._moved_work

    def update(self) -> None:
        for each in self.regularisers:
            each.before_update()
        super().update()
        for each in self.regularisers:
            each.after_update()

    @torch.no_grad()
    def expected_mixture(self) -> Mapping[str, Tensor]:
        """The mixture that stands for the search when it is measured: without noise or regularisers."""
        return self.supernet.mixture()

    def regularised(self, mixture: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A mixture as the regularisers want it at this point of the search."""
        for each in self.regularisers:
            mixture = each.adjusted(mixture, self.progress)
        return mixture

    def report(self) -> dict[str, Any]:
        """What the search did beyond training, as plain data: the regularisers that are on."""
        idle = {name: {"applied": False, "why": why} for name, why in self.idle.items()}
        return idle | {each.name: {"applied": True, **each.report()} for each in self.regularisers}

    def warnings(self) -> list[str]:
        """What the user should be told about the search."""
        return [text for each in self.regularisers for text in each.warnings()]

    def state(self) -> dict[str, Tensor]:
        found = super().state() | nest("alphas", optimizer_tensors(self.alpha_optimizer))
        found["decided"] = torch.tensor(self.decided)
        for each in self.regularisers:
            found |= nest(f"regulariser-{each.name}", each.state())
        return found

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_state(tensors)
        self.decided = bool(tensors.get("decided", False))  # a checkpoint of before this was there lacks it
        restore_optimizer(self.alpha_optimizer, unnest("alphas", tensors))
        for each in self.regularisers:
            each.load_state(unnest(f"regulariser-{each.name}", tensors))

    def _add_regularisers(self) -> None:
        for name in self.recipe.regularisers:
            made = get_regulariser(name)(self.supernet, self.recipe, sampled=self.sampled)
            why = made.obstacle()
            if why is None:
                self.regularisers.append(made)
            else:
                self.idle[name] = why


SEARCHERS: Components[type[Searcher]] = Components("searcher")
register_searcher = SEARCHERS.register
list_searchers = SEARCHERS.names
"""The names of the searchers, sorted."""
get_searcher = SEARCHERS.get
