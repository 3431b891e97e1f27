"""A race of sources for a task: successive halving on validation accuracy, within the budget of the run.

Jamieson and Talwalkar 2016 (arXiv 1502.07943), with two rungs and the same measure on both, the accuracy of a
head that is fitted to the features of a supernet as it stands:

0. Every source: batch norms are measured on the target and a head is fitted, as finetuning begins anyway.
   Nothing is trained. The better half stays.
1. What stayed, and a search from scratch, are trained for an equal time; then a head is fitted to a copy of
   each. A search from scratch so far has a head that knows nothing, and would lose by that alone: here its
   features are what counts.

The winner goes on from its own state, to the step: the race hands it over as a checkpoint that is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError, InfeasibleError
from snt_zoo.search.bilevel import make_searcher, starting_point
from snt_zoo.search.constraints import Limits
from snt_zoo.search.evaluate import evaluate, recalibrate
from snt_zoo.search.guards import ENTROPY_FLOOR, soften
from snt_zoo.search.head import fit_head
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import Run
from snt_zoo.search.stage import StageTraining
from snt_zoo.search.supernet import NetworkConfig, Supernet

RACE_SHARE = 0.25
"""Of what is left of a budget in seconds when the race begins."""

LEAST_HEADS = 5
"""A source that could be trained for less than so many times what its head took is not: docs/decisions.md."""

EPOCH_SHARE = 6
"""With a budget of N epochs the second rung has N / 6, at least one: for three sources half of N."""

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
        rungs: validation accuracy and own seconds at each.
        softened: what the guard `entropy-floor` did.
        state: of the supernet when its head was fitted.
        snapshot: of its search stage, once it was trained.
        out: why it is no longer in the race.
    """

    entrant: Entrant
    supernet: Supernet
    accuracy: float = -1.0
    rungs: list[dict[str, float]] = field(default_factory=list)
    softened: dict[str, Any] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    out: str | None = None

    @property
    def transferred(self) -> bool:
        """Whether it comes with weights."""
        return isinstance(self.entrant.source, Supernet)

    def fit_head(self, data: ImageDataset) -> float:
        """The stage `head` of finetuning; returns the validation accuracy."""
        if ENTROPY_FLOOR in self.entrant.recipe.guards:
            self.softened = soften(self.supernet, self.entrant.recipe.entropy_floor)
        recalibrate(self.supernet, data.train)
        fit_head(self.supernet, data.train)
        self.state = _copy(self.supernet)
        return evaluate(self.supernet, data.val)

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
            training.state.best, training.state.best_state = accuracy, _copy(fitted)
        tensors, meta = training.snapshot()
        self.snapshot = tensors, {**meta, "taken": taken}
        return training.state.best

    def report(self, *, won: bool) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.entrant.id, "rungs": self.rungs, "won": won, "out": None if won else self.out}


def race(
    entrants: Sequence[Entrant],
    data: ImageDataset,
    *,
    run: Run,
    limits: Limits,
    seed: int,
    device: torch.device,
) -> tuple[Entrant, Supernet]:
    """Find the source to go on with. Marks the stage `head` as finished, with what the race found.

    Args:
        entrants: best match first; those with fresh weights are only trained, and run as a guard.
        data: the target.
        run: that keeps time; a resumed one has the answer.
        limits: on the derived network; a source without a network within them does not race.
        seed: of heads and fresh weights.
        device: where to train.

    Returns:
        The winner, and its supernet; its search stage goes on where the race left it.

    Raises:
        InfeasibleError: no entrant has a network within the limits.
        DivergenceError: the training of every entrant diverged.
    """
    if "head" not in run.finished:
        end = _end(run)
        racers, rows = _line_up(entrants, data, limits, seed, device)
        guards = [racer for racer in racers if not racer.transferred]
        ranked = _first_rung([racer for racer in racers if racer.transferred], data, run, end)
        for racer in ranked[max(1, len(ranked) // 2) :]:
            racer.out = "rung 0"
        ranked = _second_rung([r for r in ranked if r.out is None] + guards, data, run, end)
        _finish(ranked[0], racers, rows, run)
    winner = next(entrant for entrant in entrants if entrant.id == run.facts["winner"])
    supernet = winner.start(data, limits, seed, device)
    supernet.load_state_dict(run.kept)
    return winner, supernet


def _line_up(
    entrants: Sequence[Entrant], data: ImageDataset, limits: Limits, seed: int, device: torch.device
) -> tuple[list[Racer], list[dict[str, Any]]]:
    """Those that can race, and a row for each that cannot."""
    racers: list[Racer] = []
    refused: list[tuple[Entrant, InfeasibleError]] = []

    def admit(entrant: Entrant) -> None:
        try:
            racers.append(Racer(entrant, entrant.start(data, limits, seed, device)))
        except InfeasibleError as error:
            refused.append((entrant, error))

    for entrant in entrants:
        admit(entrant)
    if not racers:
        raise refused[0][1]
    return racers, [{"id": who.id, "rungs": [], "won": False, "out": "limits"} for who, _ in refused]


def _first_rung(racers: Sequence[Racer], data: ImageDataset, run: Run, end: float) -> list[Racer]:
    """Fit the heads; the best first."""
    seen: list[Racer] = []
    for racer in racers:
        if seen and _now(run) >= end:
            racer.out = "time"
            continue
        began = run.clock.seconds()
        racer.accuracy = racer.fit_head(data)
        _tell(racer, run, began)
        seen.append(racer)
    return sorted(seen, key=lambda racer: -racer.accuracy)


def _second_rung(racers: Sequence[Racer], data: ImageDataset, run: Run, end: float) -> list[Racer]:
    """Train what is left for an equal time; the best first."""
    alone = len(racers) == 1
    pause = None if alone else _pause(racers, run, end)
    if pause is None:
        trained = [racer for racer in racers if racer.transferred][:1] or list(racers)[:1]
        for racer in racers:
            racer.out = None if racer in trained else "time"
        if not trained[0].transferred:
            trained[0].state = _copy(trained[0].supernet)
        return trained
    failure: DivergenceError | None = None
    for racer in racers:
        began = run.clock.seconds()
        try:
            racer.accuracy = racer.train(data, run, pause)
        except DivergenceError as error:
            racer.out, failure = "diverged", error
            continue
        if not racer.transferred:
            racer.state = _copy(racer.supernet)
        _tell(racer, run, began)
    left = sorted((racer for racer in racers if racer.out is None), key=lambda racer: -racer.accuracy)
    if failure is not None and not left:
        raise failure
    for racer in left[1:]:
        racer.out = "rung 1"
    return left


def _pause(racers: Sequence[Racer], run: Run, end: float) -> Callable[[Run, int], bool] | None:
    """When a racer stops in the second rung; None if there is no time for that."""
    if run.budget.epochs is not None:
        epochs = max(1, run.budget.epochs // EPOCH_SHARE)
        return lambda own, done: done >= epochs
    # A head is fitted to each once more; one from scratch takes as long as the slowest other.
    head = max((racer.rungs[0]["seconds"] for racer in racers if racer.rungs), default=0.0)
    each = (end - _now(run)) / len(racers) - head
    if each < LEAST_HEADS * head or each <= 0:
        return None
    return lambda own, done: own.team.largest(own.clock.seconds() if own.team.first else 0.0)[0] >= each


def _now(run: Run) -> float:
    """Seconds of the run, by the first process's clock."""
    return run.team.largest(run.clock.seconds() if run.team.first else 0.0)[0]


def _end(run: Run) -> float:
    """When the race shall be over; never where epochs are counted."""
    if run.budget.seconds is None:
        return float("inf")
    now = _now(run)
    return now + RACE_SHARE * max(run.budget.seconds - now, 0.0)


def _tell(racer: Racer, run: Run, began: float) -> None:
    seconds = run.team.largest(run.clock.seconds() - began if run.team.first else 0.0)[0]
    racer.rungs.append({"val_accuracy": racer.accuracy, "seconds": seconds})
    run.record("race", racer.accuracy, entropy=racer.supernet.entropy(), who=racer.entrant.id)


def _finish(winner: Racer, racers: Sequence[Racer], rows: list[dict[str, Any]], run: Run) -> None:
    """Keep what the race found, and let the winner's search go on from where it stands."""
    rows = [*(racer.report(won=racer is winner) for racer in racers), *rows]
    now = run.clock.seconds()
    snapshot = winner.snapshot
    start = now if snapshot is None else now - snapshot[1]["taken"]
    facts = {
        "race": rows,
        "winner": winner.entrant.id,
        "head": winner.accuracy if winner.transferred else None,
        "floor": winner.softened,
        "share": winner.entrant.recipe.search_share,
    }
    if run.budget.seconds is not None:
        # The winner's search is as long as without a race, but leaves half of what is left of the budget.
        gone = start / run.budget.seconds
        facts["share"] = min(gone + winner.entrant.recipe.search_share, (gone + 1) / 2)
    run.finish("head", facts, winner.state)
    if snapshot is not None:
        tensors, meta = snapshot
        state: Mapping[str, Any] = meta["state"] | {"start": start}
        run.hand_over("search", tensors, {"state": dict(state)})


def _copy(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
