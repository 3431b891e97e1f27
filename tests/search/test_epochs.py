"""How long an epoch is."""

from __future__ import annotations

from typing import Any

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.search import stage
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget, Clock
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.runs import finetune


def run(data: ImageDataset, budget: Budget, batch_size: int = 50) -> FinetuneResult:
    recipe = Recipe(batch_size=batch_size, warmup_share=0.0, search_share=0.5)
    return finetune(data, TINY["nas_bench_201"], budget=budget, recipe=recipe, device="cpu")


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
    assert [r.seconds for r in result.history] == [
        16,
        32,
        48,
        64,
        80,
        96,
        100,
        116,
        132,
        148,
        164,
        180,
        196,
        200,
    ]
