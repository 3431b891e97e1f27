"""A run: stages of epochs under one clock, the best network of each by validation, and checkpoints.

A checkpoint after every epoch holds the whole state, so that a resumed run with a budget in epochs ends
with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.errors import ResumeError
from snt_zoo.search.budget import Budget, Clock
from snt_zoo.search.checkpoint import load_checkpoint, nest, save_checkpoint, unnest
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.supernet import Supernet


@dataclass(frozen=True)
class EpochRecord:
    """What is known after an epoch.

    Args:
        stage: `head`, `search` or `derived`.
        epoch: counted through the whole run, from 0 (before any training).
        seconds: since the start of the run.
        val_accuracy: from 0 to 1.
        loss: mean training loss of the epoch; None where nothing was trained by steps.
        entropy: of a supernet's mixtures, from 0 (decided) to 1; None for a derived model.
    """

    stage: str
    epoch: int
    seconds: float
    val_accuracy: float
    loss: float | None = None
    entropy: float | None = None


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
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.budget = budget
        self.settings = dict(settings) | {"seed": seed, "budget": asdict(budget)}
        self.val = val
        self.folder = folder
        self.on_epoch = on_epoch
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[EpochRecord] = []
        self.finished: list[str] = []
        self.facts: dict[str, Any] = {}
        """What finished stages found, JSON-ready."""
        self.kept: dict[str, Tensor] = {}
        """Tensors of finished stages that later ones need."""
        self._resumed: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        elapsed = 0.0
        if resume:
            elapsed = self._load()
        self.clock = Clock(elapsed, timer=timer)

    def _load(self) -> float:
        if self.folder is None:
            raise ResumeError("nothing to resume: say with --out where the interrupted run wrote")
        tensors, meta = load_checkpoint(self.folder)
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
    ) -> None:
        """Add a line to the history."""
        entry = EpochRecord(stage, len(self.history), self.clock.seconds(), accuracy, loss, entropy)
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

        Returns:
            The best validation accuracy, from 0 to 1.
        """
        network = learner.network
        done, start, best = 0, self.clock.seconds(), -1.0
        best_state: dict[str, Tensor] = {}
        if initial is not None:
            best, best_state = initial, _copy_state(network)
        if self._resumed is not None and self._resumed[1]["stage"] == stage:
            tensors, meta = self._resumed
            done, start, best = meta["epochs_done"], meta["stage_start"], meta["best"]
            network.load_state_dict(unnest("network", tensors))
            best_state = unnest("best", tensors)
            learner.load_state(unnest("learner", tensors))
            self._resumed = None
        end = None if self.budget.seconds is None else share * self.budget.seconds

        def progress_at(epoch: int) -> float:
            if end is None:
                return epoch / epochs
            return (self.clock.seconds() - start) / max(end - start, 1e-9)

        while progress_at(done) < 1 or not best_state:
            loss = learner.epoch(functools.partial(progress_at, done))
            done += 1
            accuracy = learner.evaluate(self.val)
            if accuracy >= best:  # of equals the later one: it has seen more
                best, best_state = accuracy, _copy_state(network)
            self.record(
                stage,
                accuracy,
                loss=loss,
                entropy=network.entropy() if isinstance(network, Supernet) else None,
            )
            self._save(
                stage,
                nest("network", network.state_dict())
                | nest("best", best_state)
                | nest("learner", learner.state()),
                {"epochs_done": done, "stage_start": start, "best": best},
            )
        network.load_state_dict(best_state)
        return best

    def finish(self, stage: str, facts: Mapping[str, Any], kept: Mapping[str, Tensor]) -> None:
        """Mark a stage as finished, with what later stages need of it."""
        self.finished.append(stage)
        self.facts |= facts
        self.kept = dict(kept)
        self._save(f"after {stage}", {}, {})

    def _save(self, stage: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        if self.folder is None:
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


def _copy_state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
