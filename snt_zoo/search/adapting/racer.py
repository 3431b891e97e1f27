"""One source in a race: what it comes with, how a head is fitted to it, how it is trained for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Split
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.evaluate import NORM_IMAGES, evaluate, recalibrate
from snt_zoo.networks.head import Norms, begin_on, fit_head, preparation, quick_norms
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.bilevel import make_searcher, starting_point
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import ENTROPY_FLOOR, soften
from snt_zoo.search.run import Run
from snt_zoo.search.stage import StageTraining

PASS_COST = 4.0
"""What an image costs in training, in forward passes of it: measured at 3.4 (`nb201`) and 4.3 (`mobile`)."""

Snapshot = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Entrant:
    """One that races.

    Args:
        id: of a supernet, or `"scratch"`.
        source: a pretrained supernet, or the config of one to begin with fresh weights.
        recipe: that it is trained by, in the race and after it.
        breadth: of a generalist, on how many datasets it was trained; 0 for others.
        macs: multiply-accumulates of its derived network for one image, where they are known.
    """

    id: str
    source: Supernet | NetworkConfig
    recipe: Recipe
    breadth: int = 0
    macs: int | None = None

    @property
    def cost(self) -> float | None:
        """From which is guessed what its head will take: multiply-accumulates, weighed by their time."""
        config = self.source.config if isinstance(self.source, Supernet) else self.source
        return None if self.macs is None else self.macs * config.build_space().mac_time

    @property
    def general(self) -> bool:
        """Whether it is a generalist."""
        return self.breadth > 0

    def start(self, data: ImageDataset, limits: Limits, seed: int, device: torch.device) -> Supernet:
        """Its supernet with a fresh head.

        Raises:
            InfeasibleError: no network of its space is within the limits.
        """
        supernet = starting_point(self.source, data.num_classes, self.recipe, seed)
        supernet.bound = limits.bound(supernet.config)
        return supernet.placed(device)


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
        snapshot: of its search stage, once it was trained.
        out: why it is no longer in the race.
        pace: seconds of a forward pass of one image.
    """

    entrant: Entrant
    supernet: Supernet
    accuracy: float = -1.0
    rungs: list[dict[str, Any]] = field(default_factory=list)
    softened: dict[str, Any] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    out: str | None = None
    pace: float = 0.0

    @property
    def norms(self) -> Norms:
        """Whose batch norms it begins with; a run without a race tries both."""
        return quick_norms(self.supernet)

    def head_passes(self, train: Split, val: Split) -> int:
        """Forward passes of images that fitting a head takes."""
        measured = min(len(train), NORM_IMAGES) if self.norms == "measured" else 0
        return measured + len(train) + len(val)

    @property
    def transferred(self) -> bool:
        """Whether it comes with weights."""
        return isinstance(self.entrant.source, Supernet)

    def fit_head(self, train: Split, val: Split) -> float:
        """The stage `head` of finetuning, see `begin_on`; returns the accuracy on `val`."""
        if ENTROPY_FLOOR in self.entrant.recipe.guards and self.softened is None:
            self.softened = soften(self.supernet, self.entrant.recipe.entropy_floor)
        accuracy = begin_on(self.supernet, train, val, norms=self.norms).accuracy
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
            prepare=preparation(self.supernet, data.train, self.norms if self.transferred else None),
        )
        taken = own.clock.seconds()
        fitted = Supernet.create(self.supernet.config, generator=torch.Generator())
        fitted.load_state_dict(self.supernet.state_dict())
        fitted.bound = self.supernet.bound
        fitted.placed(next(self.supernet.parameters()).device)
        recalibrate(fitted, data.train)
        fit_head(fitted, data.train)
        accuracy = evaluate(fitted, data.val)
        if accuracy >= training.state.best:
            training.state.best, training.state.best_state = accuracy, copied(fitted)
        tensors, meta = training.snapshot()
        self.snapshot = tensors, {**meta, "taken": taken}
        return training.state.best

    def report(self, *, won: bool) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.entrant.id, "rungs": self.rungs, "won": won, "out": None if won else self.out}


def worthwhile(recipe: Recipe, seconds: float, image_pass: float) -> float:
    """The share of a search after a transfer: none where it is too short to gain on the head.

    In runs of a minute the supernet ended below the head that was fitted before it: docs/decisions.md, 46
    and 54.

    Args:
        recipe: that has the share, and the fewest passes.
        seconds: of the budget.
        image_pass: seconds of a forward pass of all training images.
    """
    least = recipe.search_passes * PASS_COST * image_pass
    return recipe.search_share if recipe.search_share * seconds >= least else 0.0


def copied(network: torch.nn.Module) -> dict[str, Tensor]:
    """A network's state, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
