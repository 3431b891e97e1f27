"""What tests of runs share: runs on the CPU in one line, a clock that counts, a source that knows nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import Backbone
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.adapting.candidates import Candidate, default_recipe
from snt_zoo.search.adapting.finetune import finetune as adapt
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.pretrain import PretrainResult
from snt_zoo.search.pretrain import pretrain as train
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, RunOptions
from tests.conftest import TINY

CONFIG = TINY["nas_bench_201"]
RECIPE = Recipe(batch_size=64, warmup_share=0.0, search_share=0.5)


class KilledError(Exception):
    """Stands for a kill in the middle of a run."""


def interrupt_after(epochs: int) -> Callable[[EpochRecord], None]:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == epochs:
            raise KilledError

    return on_epoch


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die in the step after so many; a checkpoint is written before every step."""
    made = 0
    original = WeightLearner.step

    def step(self: WeightLearner, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        nonlocal made
        if made == steps:
            raise KilledError
        made += 1
        return original(self, images, labels, progress)

    monkeypatch.setattr("snt_zoo.search.run.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(WeightLearner, "step", step)


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def finetune(
    data: ImageDataset,
    source: Supernet | NetworkConfig | list[Candidate],
    *,
    id: str = "scratch",
    recipe: Recipe | None = None,
    floor: Floor | None = None,
    on_source: Callable[[str], None] | None = None,
    pareto: bool = False,
    **options: Any,
) -> FinetuneResult:
    """`snt_zoo.search.adapting.finetune.finetune` with one candidate, or several."""
    if not isinstance(source, list):
        source = [Candidate(id, source, recipe or default_recipe(source))]
    asked = RunOptions(**{"device": "cpu"} | options)
    return adapt(data, source, asked, floor=floor, on_source=on_source, pareto=pareto)


def pretrain(
    data: ImageDataset, start: NetworkConfig | Supernet, *, recipe: Recipe | None = None, **options: Any
) -> PretrainResult:
    """`snt_zoo.search.pretrain.pretrain`."""
    return train(data, start, RunOptions(**{"device": "cpu"} | options), recipe=recipe)


def killed_and_resumed(
    data: ImageDataset,
    start: NetworkConfig,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    steps: int,
    **options: Any,
) -> PretrainResult:
    """A pretraining that dies in the step after so many and then goes on."""
    with monkeypatch.context() as patch:
        kill_after(steps, patch)
        with pytest.raises(KilledError):
            pretrain(data, start, folder=folder, **options)
    return pretrain(data, start, folder=folder, resume=True, **options)


def dead_supernet() -> Supernet:
    dead = Supernet.create(CONFIG, generator=torch.Generator())
    with torch.no_grad():
        for parameter in dead.trunk.parameters():
            parameter.zero_()
    return dead


class Machine:
    """A clock that goes on by the images that networks see: the larger they are the more, and four times as
    much in training.

    Args:
        patch: of networks and backbones.
        image: seconds of a forward pass of an image of 16 pixels a side.
        later: second from which everything takes longer.
        times: how many times as long.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, *, image: float, later: float = 0.0, times: float = 1.0
    ) -> None:
        self.now = 0.0

        def count(kind: Any, side: Callable[[Any], float]) -> None:
            original = kind.features

            def counted(of: Any, images: Tensor, *rest: Any, **options: Any) -> Any:
                slow = times if self.now >= later else 1.0
                self.now += slow * image * side(of) / 16 * len(images)
                return original(of, images, *rest, **options)

            patch.setattr(kind, "features", counted)

        for kind in (Supernet, DerivedModel):
            count(kind, lambda of: (4 if torch.is_grad_enabled() else 1) * of.config.input_size)
        count(Backbone, lambda of: of.size / 1.4)  # norms are part of its convolutions

    def __call__(self) -> float:
        return self.now


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now
