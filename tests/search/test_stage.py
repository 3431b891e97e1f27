"""How long an epoch is, when a stage ends, and what is kept of one that diverges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError
from snt_zoo.search import learners, stage
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget, Clock
from snt_zoo.search.checkpoint import CHECKPOINT, load_checkpoint
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.tally import Tally
from tests.conftest import TINY
from tests.search.runs import finetune, pretrain


def run(data: ImageDataset, budget: Budget, batch_size: int = 50) -> FinetuneResult:
    recipe = Recipe(batch_size=batch_size, warmup_share=0.0, search_share=0.5)
    return finetune(data, TINY["nas_bench_201"], budget=budget, recipe=recipe)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The progress at each step, which does nothing else but count and let a second pass."""
    made: list[float] = []

    def step(self: WeightLearner, images: Any, labels: Any, progress: float) -> Any:
        made.append(progress)
        return self.tally.state()["total"] * 0

    monkeypatch.setattr(WeightLearner, "step", step)
    return made


@pytest.mark.parametrize(
    ("least", "batch_size", "expected"),
    # 100 images train the weights in the search, 200 the derived network.
    [(1, 50, 2 + 4), (16, 50, 16 + 16), (7, 50, 8 + 8), (16, 5, 20 + 40)],
)
def test_an_epoch_is_whole_passes_of_at_least_so_many_steps(
    few_digits: ImageDataset,
    steps: list[float],
    monkeypatch: pytest.MonkeyPatch,
    least: int,
    batch_size: int,
    expected: int,
) -> None:
    monkeypatch.setattr(stage, "LEAST_STEPS", least)
    result = run(few_digits, Budget(epochs=3), batch_size)
    assert len(steps) == 3 * expected
    assert [record.stage for record in result.history] == ["search"] * 3 + ["derived"] * 3


def test_progress_goes_evenly_from_0_to_1(few_digits: ImageDataset, steps: list[float]) -> None:
    run(few_digits, Budget(epochs=3))
    assert steps[:6] == pytest.approx([i / 6 for i in range(6)])
    assert steps[6:] == pytest.approx([i / 12 for i in range(12)])


def test_a_long_budget_does_not_make_more_epochs_than_are_of_use(
    few_digits: ImageDataset, steps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day on 200 images, with steps of 500 seconds."""
    monkeypatch.setattr(stage, "MOST_EPOCHS", 10)
    monkeypatch.setattr(Clock, "seconds", lambda self: 500.0 * len(steps))
    day = 24 * 3600
    result = run(few_digits, Budget(seconds=day), batch_size=100)
    assert day <= 500 * len(steps) <= day + 1000
    for name in ("search", "derived"):
        assert 9 <= sum(record.stage == name for record in result.history) <= 11


def test_a_short_budget_has_its_epochs(
    few_digits: ImageDataset, steps: list[float], monkeypatch: Any
) -> None:
    monkeypatch.setattr(stage, "LEAST_STEPS", 16)
    monkeypatch.setattr(Clock, "seconds", lambda self: float(len(steps)))
    result = run(few_digits, Budget(seconds=200))
    assert [r.seconds for r in result.history] == [*range(16, 97, 16), 100, *range(116, 197, 16), 200]


def diverging(data: ImageDataset, folder: Path | None) -> None:
    recipe = Recipe(batch_size=10, warmup_share=0.0)  # 10 steps an epoch of the search
    config = TINY["nas_bench_201"]
    finetune(data, config, budget=Budget(epochs=3), recipe=recipe, folder=folder)


def spoil(patch: pytest.MonkeyPatch, number: int, what: str) -> None:
    """After so many steps let a loss be NaN, or the weights become NaN behind a loss that is none."""
    made = 0
    original = WeightLearner.step

    def step(self: WeightLearner, *args: Any) -> Tensor:
        nonlocal made
        made += 1
        loss = original(self, *args)
        if made == number and what == "weights":
            with torch.no_grad():
                self.network.head.weight.fill_(math.nan)
        return loss * math.nan if made == number and what == "loss" else loss

    patch.setattr(WeightLearner, "step", step)


def test_the_last_good_checkpoint_is_named_and_loads(
    few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 17, "loss")
    with pytest.raises(DivergenceError) as caught:
        diverging(few_digits, tmp_path)
    message = str(caught.value)
    assert "became nan in step 7 of the epoch" in message  # the 17th of 10 an epoch
    assert "lower the learning rate" in message and "learning rate 0.0" in message
    assert f"the last good state is kept in {tmp_path / CHECKPOINT}" in message
    tensors, meta = load_checkpoint(tmp_path)
    assert meta["state"]["done"] == 1
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())


def test_without_a_checkpoint_the_message_says_so(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 3, "loss")
    with pytest.raises(DivergenceError, match="no checkpoint"):
        diverging(few_digits, None)


@pytest.mark.parametrize("what", ["loss", "weights"])
@pytest.mark.parametrize("number", [12, 20, 30])  # within an epoch, at the end of one, of the stage
def test_nothing_diverged_is_ever_kept(
    few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int
) -> None:
    monkeypatch.setattr("snt_zoo.search.run.CHECKPOINT_SECONDS", 0.0)
    spoil(monkeypatch, number, what)
    with pytest.raises(DivergenceError):
        diverging(few_digits, tmp_path)
    tensors, _ = load_checkpoint(tmp_path)
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    assert int(tensors["learner.counts"][0]) == number - 1  # of the step before


def test_it_is_noticed_within_an_epoch_but_not_looked_for_at_every_step(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    original = Tally.mean

    def mean(self: Tally) -> float:
        looked.append(self.steps)
        return original(self)

    monkeypatch.setattr(Tally, "mean", mean)
    monkeypatch.setattr(learners, "CHECK_STEPS", 4)
    spoil(monkeypatch, 25, "loss")
    with pytest.raises(DivergenceError, match="in step 5 of the epoch"):
        diverging(few_digits, None)
    assert looked == [4, 8, 10, 2, 6, 10, 10, 4, 8]


def test_a_stage_ends_when_nothing_has_got_better_for_its_patience(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([0.1, 0.3, 0.2, 0.3, 0.25, *[0.0] * 50])
    monkeypatch.setattr("snt_zoo.search.learners.evaluate", lambda *_, **__: next(answers))
    recipe = Recipe(batch_size=64, patience=3)
    made = pretrain(few_digits, TINY["nas_bench_201"], budget=Budget(epochs=40), recipe=recipe)
    # The second epoch was the best; one that is as good is kept but is no progress.
    assert [record.val_accuracy for record in made.history] == [0.1, 0.3, 0.2, 0.3, 0.25]
    assert made.epochs == 5
