"""One source in a race: what it comes with, how a head is fitted to it, how it is trained for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Split
from snt_zoo.search.bilevel import make_searcher, starting_point
from snt_zoo.search.constraints import Limits
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.evaluate import evaluate, recalibrate
from snt_zoo.search.guards import ENTROPY_FLOOR, soften
from snt_zoo.search.head import Norms, begin_on, fit_head
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, Run
from snt_zoo.search.stage import StageTraining
from snt_zoo.search.supernet import NetworkConfig, Supernet

PASS_COST = 2.0
"""What an image costs in training, over what it costs when a head is fitted: measured at 1.7 and 2.0."""

DERIVED = "derived"

Snapshot = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Entrant:
    """One that races.

    Args:
        id: of a supernet, or `"scratch"`.
        source: a pretrained supernet, or the config of one to begin with fresh weights.
        recipe: that it is trained by, in the race and after it.
    """

    id: str
    source: Supernet | NetworkConfig
    recipe: Recipe

    def start(self, data: ImageDataset, limits: Limits, seed: int, device: torch.device) -> Supernet:
        """Its supernet with a fresh head.

        Raises:
            InfeasibleError: no network of its space is within the limits.
        """
        supernet = starting_point(self.source, data.num_classes, self.recipe, seed)
        supernet.bound = limits.bound(supernet.config)
        return supernet.to(device)


@dataclass(eq=False)
class Racer:
    """An entrant in the race.

    Args:
        entrant: the source.
        supernet: as it stands.
        accuracy: on validation, at its last rung.
        rungs: validation accuracy and own seconds at each, and at the heat.
        softened: what the guard `entropy-floor` did.
        state: of the supernet when its head was fitted.
        snapshot: of the stage that it was trained in, with its name.
        out: why it is no longer in the race.
        norms: which it begins with best, once that is known.
        pace: seconds that its last head took for an image.
    """

    entrant: Entrant
    supernet: Supernet
    accuracy: float = -1.0
    rungs: list[dict[str, Any]] = field(default_factory=list)
    softened: dict[str, Any] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    out: str | None = None
    norms: Norms | None = None
    pace: float = 0.0

    @property
    def transferred(self) -> bool:
        """Whether it comes with weights."""
        return isinstance(self.entrant.source, Supernet)

    def fit_head(self, train: Split, val: Split) -> float:
        """The stage `head` of finetuning, see `begin_on`; returns the accuracy on `val`."""
        if ENTROPY_FLOOR in self.entrant.recipe.guards and self.softened is None:
            self.softened = soften(self.supernet, self.entrant.recipe.entropy_floor)
        accuracy, self.norms = begin_on(self.supernet, train, val, norms=self.norms)
        self.state = copied(self.supernet)
        return accuracy

    def train(self, data: ImageDataset, run: Run, pause: Callable[[Run, int], bool]) -> float:
        """Some of the stage `search`, then a head fitted to what it came to.

        Args:
            data: the target.
            run: of the whole race.
            pause: whether to stop, given the clock and the finished epochs of this racer.

        Returns:
            The best validation accuracy so far.

        Raises:
            DivergenceError: the loss is not finite.
        """
        recipe = self.entrant.recipe
        own = Run(budget=run.budget, seed=run.seed, settings=run.settings, val=run.val, timer=run.timer)
        searcher = make_searcher(
            self.supernet, data.train, recipe=recipe, generator=own.generator, seed=run.seed
        )
        initial = self.accuracy if self.transferred else None
        training = StageTraining(own, "search", searcher, initial=initial)
        training.train(
            share=recipe.search_share,
            epochs=run.budget.epochs or 0,
            pause=lambda: pause(own, training.state.done),
        )
        taken = own.clock.seconds()
        fitted = Supernet.create(self.supernet.config, generator=torch.Generator())
        fitted.load_state_dict(self.supernet.state_dict())
        fitted.bound = self.supernet.bound
        fitted.to(next(self.supernet.parameters()).device)
        recalibrate(fitted, data.train)
        fit_head(fitted, data.train)
        accuracy = evaluate(fitted, data.val)
        if accuracy >= training.state.best:
            training.state.best, training.state.best_state = accuracy, copied(fitted)
        tensors, meta = training.snapshot()
        self.snapshot = tensors, {**meta, "taken": taken, "stage": "search"}
        return training.state.best

    def try_out(self, data: ImageDataset, run: Run, seconds: float) -> float:
        """Some of the stage `derived`, without a search before it.

        Args:
            data: the target.
            run: of the whole race.
            seconds: how long.

        Returns:
            The best validation accuracy so far.

        Raises:
            DivergenceError: the loss is not finite.
        """
        recipe = self.entrant.recipe

        def tell(epoch: EpochRecord) -> None:
            run.record("race", epoch.val_accuracy, loss=epoch.loss, who=self.entrant.id)

        own = Run(
            budget=run.budget,
            seed=run.seed,
            settings=run.settings,
            val=run.val,
            on_epoch=tell,
            timer=run.timer,
        )
        model = DerivedModel.inherit(self.supernet)
        learner = WeightLearner(
            model, data.train, recipe=recipe, generator=own.generator, peak_lr=recipe.derived_lr
        )
        training = StageTraining(own, DERIVED, learner, initial=self.accuracy)
        training.train(
            share=1.0,
            epochs=0,
            pause=lambda: own.team.largest(own.clock.seconds() if own.team.first else 0.0)[0] >= seconds,
        )
        tensors, meta = training.snapshot()
        self.snapshot = tensors, {**meta, "taken": own.clock.seconds(), "stage": DERIVED}
        return training.state.best

    def report(self, *, won: bool) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.entrant.id, "rungs": self.rungs, "won": won, "out": None if won else self.out}


def worthwhile(share: float, seconds: float, head: float) -> float:
    """The share of a search after a transfer: none where it would not see every image once.

    In runs of under a minute the supernet ended below the head that was fitted before it: docs/decisions.md,
    46.

    Args:
        share: of the budget, as the recipe has it.
        seconds: of the budget.
        head: that fitting a head to all images took.
    """
    return share if share * seconds >= PASS_COST * head else 0.0


def copied(network: torch.nn.Module) -> dict[str, Tensor]:
    """A network's state, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
