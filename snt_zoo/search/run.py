"""A run: stages of epochs under one clock, what each found, and checkpoints.

A checkpoint, written after every epoch and now and then within one, holds the whole state: a resumed run
with a budget in epochs ends with the same bits as one that was never interrupted. So does a run that was
stopped by Ctrl-C or SIGTERM, which write one more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.errors import ResumeError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.head import Norms
from snt_zoo.search.budget import Budget, Clock
from snt_zoo.search.checkpoint import load_checkpoint, nest, save_checkpoint, unnest

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


@dataclass(frozen=True)
class RunOptions:
    """How a run is to be done; a finetuning and a pretraining have the same.

    Args:
        budget: of the whole run. In seconds it covers all stages; in epochs it is the number of search epochs
            and, of a finetuning, of derived epochs each.
        limits: on the parameters and MACs of the derived network.
        seed: decides the head's and fresh weights, order, augmentation and sampled paths.
        device: `auto`, `cpu`, `cuda`, ….
        folder: where checkpoints go; None for none.
        resume: go on from the checkpoint in `folder`.
        on_epoch: called with the record of each epoch.
        spent: seconds of the budget that are gone already; a resumed run goes on with those of its
            checkpoint.
        timer: what counts the budget's seconds; wall clock by default.
    """

    budget: Budget
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    device: str | torch.device = "auto"
    folder: Path | None = None
    resume: bool = False
    on_epoch: OnEpoch | None = None
    spent: float = 0.0
    timer: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Begun:
    """How a run began.

    Args:
        source: id of the supernet, or `"scratch"`.
        accuracy: of the head that was fitted to it, on validation; None for fresh weights.
        norms: whose batch norms it has; None for fresh weights.
        share: of a budget in seconds, counted from the start of the run, at which its search ends.
        softened: what softening the alphas did; None for fresh ones, or where the recipe asks for none.
        race: of each candidate what it came to; empty without a race.
    """

    source: str
    accuracy: float | None
    norms: Norms | None
    share: float
    softened: dict[str, Any] | None = None
    race: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Searched:
    """What a search came to.

    Args:
        accuracy: of the supernet along the path of its genotype, on validation.
        report: how the architecture was found; plain data.
        warnings: what the user should know about that.
    """

    accuracy: float
    report: dict[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the finished stages of a run found; plain data, kept in its checkpoints.

    Args:
        begun: by the stages `race` and `head`.
        searched: by the stage `search`.
        augmentation: that a pretraining chose, with the evidence for each dataset.
        grown: whether the probe beside a finetuning has looked at more images.
        closer: number of better backbones that have looked too.
    """

    begun: Begun | None = None
    searched: Searched | None = None
    augmentation: tuple[str, list[dict[str, Any]]] | None = None
    grown: bool = False
    closer: int = 0


_FACTS = TypeAdapter(Facts)


class Run:
    """State of a run.

    Args:
        options: how it is to be done.
        settings: what besides it was asked to do; a resumed run must have been asked the same.
        val: the split that picks the best epoch.
        checkpoint_seconds: time between two checkpoints within an epoch.

    Raises:
        ResumeError: there is nothing to resume, or the settings differ.
    """

    def __init__(
        self,
        options: RunOptions,
        *,
        settings: Mapping[str, Any],
        val: Split,
        checkpoint_seconds: float | None = None,
    ) -> None:
        self.options = options
        self.budget, self.seed, self.folder = options.budget, options.seed, options.folder
        self.settings = dict(settings) | {"seed": self.seed, "budget": asdict(self.budget)}
        self.team = Team.current()
        self.val = val
        self.checkpoint_seconds = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
        self.generator = torch.Generator().manual_seed(self.seed)
        self.history: list[EpochRecord] = []
        self.facts = Facts()
        self.kept: dict[str, Tensor] = {}
        """The network as the last finished stage left it."""
        self._resumed: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        elapsed = self._load() if options.resume else options.spent
        self.clock = Clock(elapsed, timer=options.timer)
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
        try:
            self.facts = _FACTS.validate_python(meta["facts"])
        except ValidationError as error:
            raise ResumeError(
                f"the checkpoint in {self.folder} does not say what its stages found: start the run again "
                "with another --out"
            ) from error
        self.kept = unnest("kept", tensors)
        self.generator.set_state(tensors["generator"])
        self._resumed = (tensors, meta)
        return float(meta["elapsed"])

    def seconds(self) -> float:
        """Seconds since the start of the run, by the first process's clock."""
        return self.team.largest(self.clock.seconds() if self.team.first else 0.0)[0]

    def left(self) -> float:
        """Seconds of the budget that are left; infinite where epochs are counted."""
        if self.budget.seconds is None:
            return math.inf
        return max(self.budget.seconds - self.seconds(), 0.0)

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
        if self.options.on_epoch is not None:
            self.options.on_epoch(entry)

    def goes_on_in(self, stage: str) -> bool:
        """Whether the run was interrupted in a stage, which has not begun again yet."""
        return self._resumed is not None and self._resumed[1]["stage"] == stage

    def resumed(self, stage: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and data that the stage left in the checkpoint, once, if the run was resumed in it."""
        if not self.goes_on_in(stage):
            return None
        found, self._resumed = self._resumed, None
        return found

    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is `checkpoint_seconds` old, by the first process's clock."""
        return self.team.first and time.monotonic() - self._saved_at >= self.checkpoint_seconds

    def note(self, **facts: Any) -> None:
        """Set fields of `facts`, which the next checkpoint keeps."""
        self.facts = replace(self.facts, **facts)

    def finish(self, stage: str, network: Mapping[str, Tensor], **facts: Any) -> None:
        """Keep what a stage found, and the state of the network that it left."""
        self.note(**facts)
        self.kept = dict(network)
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
                "facts": asdict(self.facts),
                "settings": self.settings,
                "history": [asdict(record) for record in self.history],
                "elapsed": self.clock.seconds(),
            },
        )
