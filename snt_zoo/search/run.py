"""A run: stages of epochs under one clock, the best network of each by validation, and checkpoints.

A checkpoint, written after every epoch and now and then within one, holds the whole state: a resumed run
with a budget in epochs ends with the same bits as one that was never interrupted. So does a run that was
stopped by Ctrl-C or SIGTERM, which write one more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.errors import ResumeError
from snt_zoo.networks.distributed import Team
from snt_zoo.search.budget import Budget, Clock
from snt_zoo.search.checkpoint import load_checkpoint, nest, save_checkpoint, unnest
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.stage import OnBetter, StageTraining

CHECKPOINT_SECONDS = 60.0
"""Time between two checkpoints within an epoch."""


@dataclass(frozen=True)
class EpochRecord:
    """What is known after an epoch.

    Args:
        stage: `probe`, `race`, `head`, `search`, `derived` or `ensemble`.
        epoch: counted through the whole run, from 0 (before any training).
        seconds: since the start of the run.
        val_accuracy: from 0 to 1.
        loss: mean training loss of the epoch; None where nothing was trained by steps.
        entropy: of a supernet's mixtures, from 0 (decided) to 1; None for a derived model.
        micro_batch: most images that went through the network at once, where memory did not suffice for
            a batch; else None.
        who: id of the source, where several race.
    """

    stage: str
    epoch: int
    seconds: float
    val_accuracy: float
    loss: float | None = None
    entropy: float | None = None
    micro_batch: int | None = None
    who: str | None = None


OnEpoch = Callable[[EpochRecord], None]


class Run:
    """State of a run.

    Args:
        budget: of the whole run.
        seed: of the run's generator.
        settings: what the run was asked to do; a resumed run must have been asked the same.
        val: the split that picks the best epoch.
        folder: where checkpoints go; None for none.
        resume: go on from the checkpoint in `folder`.
        on_epoch: called with each new record.
        checkpoint_seconds: time between two checkpoints within an epoch.
        spent: seconds that are gone already; a resumed run goes on with those of the checkpoint.
        timer: what counts the budget's seconds.

    Raises:
        ResumeError: there is nothing to resume, or the settings differ.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        seed: int,
        settings: Mapping[str, Any],
        val: Split,
        folder: Path | None = None,
        resume: bool = False,
        on_epoch: OnEpoch | None = None,
        checkpoint_seconds: float | None = None,
        spent: float = 0.0,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.budget = budget
        self.seed = seed
        self.settings = dict(settings) | {"seed": seed, "budget": asdict(budget)}
        self.team = Team.current()
        self.val = val
        self.folder = folder
        self.on_epoch = on_epoch
        self.checkpoint_seconds = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[EpochRecord] = []
        self.finished: list[str] = []
        self.facts: dict[str, Any] = {}
        """What finished stages found, JSON-ready."""
        self.kept: dict[str, Tensor] = {}
        """Tensors of finished stages that later ones need."""
        self._resumed: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        elapsed = spent
        if resume:
            elapsed = self._load()
        self.timer = timer
        self.clock = Clock(elapsed, timer=timer)
        self._saved_at = time.monotonic()

    def _load(self) -> float:
        if self.folder is None:
            raise ResumeError("nothing to resume: say with --out where the interrupted run wrote")
        # All read the same one: none while the first still writes, and it writes no other before all have.
        self.team.wait()
        tensors, meta = load_checkpoint(self.folder)
        self.team.wait()
        differing = sorted(
            key
            for key in {*self.settings, *meta["settings"]}
            if self.settings.get(key) != meta["settings"].get(key)
        )
        if differing:
            raise ResumeError(
                f"the run in {self.folder} was started with another {', '.join(differing)}: repeat its "
                "options, or choose another --out for a new run"
            )
        self.history = [EpochRecord(**record) for record in meta["history"]]
        self.finished, self.facts = meta["finished"], meta["facts"]
        self.kept = unnest("kept", tensors)
        self.generator.set_state(tensors["generator"])
        self._resumed = (tensors, meta)
        return float(meta["elapsed"])

    def record(
        self,
        stage: str,
        accuracy: float,
        *,
        loss: float | None = None,
        entropy: float | None = None,
        micro_batch: int | None = None,
        who: str | None = None,
    ) -> None:
        """Add a line to the history."""
        entry = EpochRecord(
            stage, len(self.history), self.clock.seconds(), accuracy, loss, entropy, micro_batch, who
        )
        self.history.append(entry)
        if self.on_epoch is not None:
            self.on_epoch(entry)

    def fit(
        self,
        stage: str,
        learner: WeightLearner,
        *,
        share: float,
        epochs: int,
        initial: float | None = None,
        prepare: Callable[[], None] | None = None,
        halfway: Callable[[float], None] | None = None,
        better: OnBetter | None = None,
    ) -> float:
        """Train until the stage's part of the budget is spent; leave the network at its best epoch.

        Args:
            stage: name of the stage.
            learner: what trains.
            share: the stage ends when this share of a budget in seconds is spent, counted from the
                start of the run.
            epochs: its length where the budget is in epochs.
            initial: validation accuracy of the network as it is on entry, which then competes as the
                first candidate.
            prepare: called before the first step, if there is one, when that candidate is kept: what it makes
                of the network is what is trained.
            halfway: called once, with the best validation accuracy so far, when half of the stage is over;
                what it takes is the stage's time.
            better: called whenever another network is the stage's best, and at the start with that of then,
                if there is one; so too when the stage goes on after an interruption.

        Returns:
            The best validation accuracy, from 0 to 1.
        """
        training = StageTraining(self, stage, learner, initial=initial)
        return training.train(share=share, epochs=epochs, prepare=prepare, halfway=halfway, better=better)

    def goes_on_in(self, stage: str) -> bool:
        """Whether the run was interrupted in a stage, which has not begun again yet."""
        return self._resumed is not None and self._resumed[1]["stage"] == stage

    def resumed(self, stage: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and data that the stage left in the checkpoint, once, if the run was resumed in it."""
        if not self.goes_on_in(stage):
            return None
        found, self._resumed = self._resumed, None
        return found

    def hand_over(self, stage: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Let a stage that begins go on from a state, as if the run were resumed in it; keeps that state."""
        self.save(stage, tensors, meta)
        self._resumed = dict(tensors), {**meta, "stage": stage}

    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is `checkpoint_seconds` old, by the first process's clock."""
        return self.team.first and time.monotonic() - self._saved_at >= self.checkpoint_seconds

    def finish(self, stage: str, facts: Mapping[str, Any], kept: Mapping[str, Tensor]) -> None:
        """Mark a stage as finished, with what later stages need of it."""
        self.finished.append(stage)
        self.facts |= facts
        self.kept = dict(kept)
        self.save(f"after {stage}", {}, {})

    def save(self, stage: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Write a checkpoint, if there is a folder for it."""
        self._saved_at = time.monotonic()
        if self.folder is None or not self.team.first:
            return
        save_checkpoint(
            self.folder,
            {**tensors, **nest("kept", self.kept), "generator": self.generator.get_state()},
            {
                **meta,
                "stage": stage,
                "finished": self.finished,
                "facts": self.facts,
                "settings": self.settings,
                "history": [asdict(record) for record in self.history],
                "elapsed": self.clock.seconds(),
            },
        )
