"""Divergence is noticed late but surely, told with its step, and never kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError
from snt_zoo.search import learners
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT, load_checkpoint
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.tally import HOPELESS, Tally
from tests.conftest import TINY
from tests.search.runs import finetune

CPU = torch.device("cpu")


def test_a_tally_gives_the_mean() -> None:
    tally = Tally(10, device=CPU)
    for loss in (1.0, 2.0, 6.0):
        tally.add(torch.tensor(loss))
    assert tally.steps == 3 and tally.mean() == 3.0
    again = Tally(10, device=CPU)
    again.load_state(tally.state())
    again.add(torch.tensor(3.0))
    assert again.mean() == 3.0 and again.steps == 4
    again.clear()
    assert again.steps == 0 and again.mean() == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("bad", [1, 4, 9])
def test_a_tally_knows_the_first_bad_step(value: float, bad: int) -> None:
    tally = Tally(10, device=CPU)
    for step in range(1, 10):
        tally.add(torch.tensor(value if step == bad else 1.0))
    with pytest.raises(DivergenceError, match=f"became .* in step {bad}$"):
        tally.mean()


def test_a_loss_far_above_guessing_is_a_divergence() -> None:
    tally = Tally(10, device=CPU)
    tally.add(torch.tensor(0.9 * HOPELESS * math.log(10)))
    tally.mean()
    tally.clear()
    tally.add(torch.tensor(1.1 * HOPELESS * math.log(10)))
    with pytest.raises(DivergenceError, match=r"guessing has 2\.3"):
        tally.mean()


def run(data: ImageDataset, folder: Path | None) -> None:
    recipe = Recipe(batch_size=10, warmup_share=0.0)  # 10 steps an epoch of the search
    config = TINY["nas_bench_201"]
    finetune(data, config, budget=Budget(epochs=3), recipe=recipe, device="cpu", folder=folder)


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
        run(few_digits, tmp_path)
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
        run(few_digits, None)


@pytest.mark.parametrize("what", ["loss", "weights"])
@pytest.mark.parametrize("number", [12, 20, 30])  # within an epoch, at the end of one, of the stage
def test_nothing_diverged_is_ever_kept(
    few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int
) -> None:
    monkeypatch.setattr("snt_zoo.search.run.CHECKPOINT_SECONDS", 0.0)
    spoil(monkeypatch, number, what)
    with pytest.raises(DivergenceError):
        run(few_digits, tmp_path)
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
        run(few_digits, None)
    assert looked == [4, 8, 10, 2, 6, 10, 10, 4, 8]
