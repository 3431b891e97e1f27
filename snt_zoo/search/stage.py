"""A stage of a run: epochs of training, each evaluated, recorded and kept, until its budget is spent.

Between two steps it looks at the clock and at signals: a checkpoint is written when the last one is old, and
when the run shall stop.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data.seeding import derive_seed
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.checkpoint import CHECKPOINT, nest, unnest
from snt_zoo.search.interruption import Stopped, StopSignals
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.pace import Pace
from snt_zoo.search.run import Run

# An epoch is a pass over the training images, or as many as give so many steps: docs/decisions.md.
LEAST_STEPS = 16

# Epochs of a stage in a budget in seconds: a record and a point in the report for each.
MOST_EPOCHS = 200


OnBetter = Callable[[Supernet | DerivedModel, float], None]
"""Called with the best network of a stage so far, and its validation accuracy."""


@dataclass
class Stage:
    """Where a stage stands.

    Args:
        name: of the stage.
        start: seconds of the run when it began.
        done: epochs that are finished.
        best: the best validation accuracy, from 0 to 1.
        best_state: the network that had it.
        unevaluated: mean loss of an epoch that is trained but not evaluated.
        best_at: epochs that were finished when it was found.
        prepared: whether the network is as it shall be trained.
        halfway: whether half of it is over, and who wanted to know has been told.
        besides: seconds of what must follow, besides those that were known at the start.
    """

    name: str
    start: float
    done: int = 0
    best: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    unevaluated: float | None = None
    best_at: int = 0
    prepared: bool = False
    halfway: bool = False
    besides: float = 0.0


def fit(
    run: Run,
    stage: str,
    learner: WeightLearner,
    *,
    share: float,
    rest: float = 0.0,
    evaluation: float = 0.0,
    initial: float | None = None,
    prepare: Callable[[], None] | None = None,
    halfway: Callable[[float], float] | None = None,
    better: OnBetter | None = None,
) -> float:
    """Train until the stage's part of the budget is spent; leave the network at its best epoch.

    Of a budget in seconds training leaves the time for its last evaluation and for what must follow. Both are
    planned by the pace of now: where steps have become slower, an epoch ends the earlier.

    Args:
        run: keeps the records and the checkpoints.
        stage: its name.
        learner: what trains.
        share: the stage ends when this share of a budget in seconds is spent, counted from the start of the
            run; a budget in epochs is each stage's own.
        rest: seconds of what must follow in that time, at the pace in which the stage begins.
        evaluation: seconds of an evaluation, likewise, until the first one is timed.
        initial: validation accuracy of the network as it is on entry, which then competes as the first
            candidate.
        prepare: called before the first step, if there is one, when that candidate is kept: what it makes of
            the network is what is trained.
        halfway: called once, with the best validation accuracy so far, when half of the stage is over; what
            it takes is the stage's time. Returns seconds of what must follow besides `rest`.
        better: called whenever another network is the stage's best, and at the start with that of then, if
            there is one; so too when the stage goes on after an interruption.

    Returns:
        The best validation accuracy, from 0 to 1.

    Raises:
        Stopped: by a signal, after a checkpoint.
        DivergenceError: the message names the last good checkpoint.
    """
    training = _Training(run, stage, learner, initial=initial, evaluation=evaluation)
    return training.train(share=share, rest=rest, prepare=prepare, halfway=halfway, better=better)


class _Training:
    """Trains a network through a stage; see `fit`."""

    def __init__(
        self, run: Run, name: str, learner: WeightLearner, *, initial: float | None, evaluation: float
    ) -> None:
        self.run = run
        self.learner = learner
        self.network = learner.network
        self.val = run.team.share(run.val)
        self.pace = Pace(run.clock.seconds)
        self.evaluation = evaluation
        """Seconds of one, at the pace in which the stage began."""
        run.team.broadcast_(self.network)
        learner.reseed(derive_seed(run.seed, name))
        self.state = Stage(name, run.clock.seconds())
        resumed = run.resumed(name)
        if resumed is not None:
            tensors, meta = resumed
            self.state = Stage(best_state=unnest("best", tensors), **meta["state"])
            self.network.load_state_dict(unnest("network", tensors))
            learner.load_state(unnest("learner", tensors))
        elif initial is not None:
            self.state.best, self.state.best_state = initial, _copy_state(self.network)
        # Without a folder there is nothing to keep: a signal then does what it always does.
        self.stops = StopSignals(active=run.folder is not None, patient=run.team.size > 1)

    def train(
        self,
        *,
        share: float,
        rest: float,
        prepare: Callable[[], None] | None,
        halfway: Callable[[float], float] | None,
        better: OnBetter | None,
    ) -> float:
        budget = self.run.budget
        end = None if budget.seconds is None else share * budget.seconds
        state, learner, team = self.state, self.learner, self.run.team
        length = _epoch_length(learner)
        if better is not None and state.best_state:
            best = copy.deepcopy(self.network)
            best.load_state_dict(state.best_state)
            better(best, state.best)

        def progress() -> float:
            if end is None:
                done = state.done + learner.tally.steps / max(learner.epoch_length, 1)
                return done / (budget.epochs or 1)
            # The first process's clock is everybody's.
            now = self.run.clock.seconds()
            last = end - (rest + state.besides + self.evaluation) * self.pace.slowdown
            spent = (now - state.start) / (last - state.start) if now < last else 1.0
            return team.largest(spent if team.first else 0.0)[0]

        def before_step() -> float:
            self.pace.end()
            self._between_steps()
            now = progress()
            if halfway is not None and not state.halfway and 0.5 <= now < 1:
                state.halfway = True
                state.besides = halfway(state.best)
                now = progress()
            if now < 1:
                self.pace.begin()
            return now

        with self.stops:
            try:
                while state.unevaluated is not None or self._goes_on(progress()) or not state.best_state:
                    began, steps = self.run.clock.seconds(), learner.steps
                    if not state.prepared:
                        state.prepared = True
                        if prepare is not None:
                            prepare()
                    if state.unevaluated is None:
                        state.unevaluated = learner.epoch(before_step, steps=length)
                        self.pace.end()
                        team.check(self.network)
                    trained = self.run.clock.seconds()
                    self._evaluate(better)
                    self.evaluation = (self.run.clock.seconds() - trained) / self.pace.slowdown
                    if end is not None and learner.steps > steps:
                        pace = (self.run.clock.seconds() - began) / (learner.steps - steps)
                        least = (end - state.start) / MOST_EPOCHS / pace
                        length = _epoch_length(learner, team.largest(least if team.first else 0.0)[0])
                self._stop_if_asked()
            except DivergenceError as error:
                raise DivergenceError(f"{error}; {self._last_good()}") from None
            finally:
                learner.close()
        self.network.load_state_dict(state.best_state)
        return state.best

    def _between_steps(self) -> None:
        """Write a checkpoint if it is time for one, or if the run shall stop; then stop.

        Raises:
            Stopped: a signal came.
            DivergenceError: there is nothing good to write.
        """
        if self.run.folder is None:
            return
        due, stop = self.run.team.largest(float(self.run.checkpoint_is_due()), self.stops.received)
        if due or stop:
            self.learner.check()
            self._save()
        if stop:
            raise Stopped(int(stop))

    def _goes_on(self, progress: float) -> bool:
        """Whether the budget lasts, and validation has got better lately."""
        patience = self.learner.patience
        waited = self.state.done - self.state.best_at
        return progress < 1 and (not patience or waited < patience)

    def _stop_if_asked(self) -> None:
        stop = self.run.team.largest(self.stops.received)[0]
        if stop:
            raise Stopped(int(stop))

    def _evaluate(self, better: OnBetter | None) -> None:
        """Evaluate the epoch that is trained, record it and write a checkpoint."""
        state = self.state
        try:
            with self.stops.at_once():
                accuracy = self.learner.evaluate(self.val)
        except Stopped:
            self._save()
            raise
        improved = accuracy >= state.best
        if improved:  # of equals the later one: it has seen more
            if accuracy > state.best:
                state.best_at = state.done + 1
            state.best, state.best_state = accuracy, _copy_state(self.learner.candidate())
        loss, state.unevaluated = state.unevaluated, None
        state.done += 1
        self.run.record(
            state.name,
            accuracy,
            loss=loss,
            entropy=self.network.entropy() if isinstance(self.network, Supernet) else None,
            micro_batch=self.learner.micro_batch,
        )
        if improved and better is not None:
            better(self.learner.candidate(), accuracy)
        self._save()

    def _save(self) -> None:
        """Write all from which the stage goes on, to the bit; see `Run.resumed`."""
        tensors = (
            nest("network", self.network.state_dict())
            | nest("best", self.state.best_state)
            | nest("learner", self.learner.state())
        )
        state: dict[str, Any] = {k: value for k, value in vars(self.state).items() if k != "best_state"}
        self.run.save(self.state.name, tensors, {"state": state})

    def _last_good(self) -> str:
        folder = self.run.folder
        if folder is None or not (folder / CHECKPOINT).is_file():
            return "there is no checkpoint from before"
        return f"the last good state is kept in {folder / CHECKPOINT}"


def _epoch_length(learner: WeightLearner, least: float = 0) -> int:
    """Steps of an epoch: whole passes that make the least number of steps."""
    one = learner.batches.pass_length
    return one * math.ceil(max(least, LEAST_STEPS, one) / one)


def _copy_state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
