"""What tests of races share: how one is run, a clock that counts, sources that are slow or know nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.head import Beginning
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting import racer
from snt_zoo.search.adapting.finetune import FinetuneResult, finetune
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY

CONFIG = TINY["nas_bench_201"]
RECIPE = Recipe(batch_size=64, warmup_share=0.0, search_share=0.5)


class KilledError(Exception):
    """Stands for a kill in the middle of a run."""


def run(data: ImageDataset, entrants: list[Entrant], **options: Any) -> FinetuneResult:
    options = {"budget": Budget(epochs=2)} | options
    return finetune(data, entrants, device="cpu", **options)


def dead_supernet() -> Supernet:
    dead = Supernet.create(CONFIG, generator=torch.Generator())
    with torch.no_grad():
        for parameter in dead.trunk.parameters():
            parameter.zero_()
    return dead


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def slow_down(patch: pytest.MonkeyPatch, supernet: Supernet, clock: Ticks, *, seconds: float) -> None:
    """Fitting a head to this supernet takes so many seconds more."""
    begin_on = racer.begin_on

    def slowly(network: Supernet, *arguments: Any, **options: Any) -> Beginning:
        if torch.equal(next(network.trunk.parameters()), next(supernet.trunk.parameters())):
            clock.now += seconds
        return begin_on(network, *arguments, **options)

    patch.setattr(racer, "begin_on", slowly)
