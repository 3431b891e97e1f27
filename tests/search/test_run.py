"""A run that is interrupted after any step goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, dataset
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import load_checkpoint
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import list_searchers
from tests.conftest import TINY
from tests.search.runs import KilledError, finetune, kill_after

# 3 steps an epoch of the search (and 2 of the alphas' stream), 4 of the derived network; 2 epochs each.
SEARCH_STEPS, ALL_STEPS = 6, 14


def run(data: ImageDataset, searcher: str = "gdas", **options: Any) -> FinetuneResult:
    recipe = Recipe(searcher=searcher, batch_size=50, warmup_share=0.2, alpha_share=0.3)
    config = TINY["nas_bench_201"]
    return finetune(data, config, budget=Budget(epochs=2), recipe=recipe, **options)


def what_counts(result: FinetuneResult, folder: Path) -> dict[str, Any]:
    """All that must not depend on interruptions: networks, optimizers, positions, losses, accuracies."""
    tensors, _ = load_checkpoint(folder)
    assert len([name for name in tensors if name.startswith("learner.weights.")]) > 10
    return {
        **tensors,
        **{f"model.{name}": tensor for name, tensor in result.model.state_dict().items()},
        **{f"supernet.{name}": tensor for name, tensor in result.supernet.state_dict().items()},
        "records": [(r.stage, r.epoch, r.val_accuracy, r.loss, r.entropy) for r in result.history],
        "found": (result.genotype, dict(result.accuracy), dict(result.steps)),
    }


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        other = right[name]
        assert torch.equal(value, other) if isinstance(value, Tensor) else value == other, name


@pytest.fixture(scope="module")
def whole(few_digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What uninterrupted runs end with, by searcher. They write no checkpoint within an epoch."""
    known: dict[str, dict[str, Any]] = {}

    def of(searcher: str) -> dict[str, Any]:
        if searcher not in known:
            folder = tmp_path_factory.mktemp(searcher)
            known[searcher] = what_counts(run(few_digits, searcher, folder=folder), folder)
        return known[searcher]

    yield of


@pytest.mark.parametrize(
    ("searcher", "steps"),
    [*((s, n) for s in ("gdas", "darts") for n in (1, 3, 5, 6, 9)), *((s, 4) for s in list_searchers())],
)
def test_killed_after_any_step_it_ends_with_the_same_bits(
    tmp_path: Path,
    few_digits: ImageDataset,
    whole: Any,
    monkeypatch: pytest.MonkeyPatch,
    searcher: str,
    steps: int,
) -> None:
    with monkeypatch.context() as patch:
        kill_after(steps, patch)
        with pytest.raises(KilledError):
            run(few_digits, searcher, folder=tmp_path)
    tensors, meta = load_checkpoint(tmp_path)
    made = steps if steps < SEARCH_STEPS else steps - SEARCH_STEPS
    assert meta["state"]["name"] == ("search" if steps < SEARCH_STEPS else "derived")
    assert tensors["learner.counts"][0] == made  # it was written between these very steps
    assert_same(
        what_counts(run(few_digits, searcher, folder=tmp_path, resume=True), tmp_path), whole(searcher)
    )


def test_killed_again_and_again_it_ends_with_the_same_bits(
    tmp_path: Path, few_digits: ImageDataset, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in range((ALL_STEPS - 1) // 2):
        with monkeypatch.context() as patch:
            kill_after(2, patch)
            with pytest.raises(KilledError):
                run(few_digits, folder=tmp_path, resume=attempt > 0)
    assert_same(what_counts(run(few_digits, folder=tmp_path, resume=True), tmp_path), whole("gdas"))


@pytest.mark.parametrize("steps", [2, 9])
def test_streamed_data_go_on_likewise(
    tmp_path: Path, few_digits: ImageDataset, whole: Any, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", 0)
    with monkeypatch.context() as patch:
        kill_after(steps, patch)
        with pytest.raises(KilledError):
            run(few_digits, folder=tmp_path)
    assert_same(what_counts(run(few_digits, folder=tmp_path, resume=True), tmp_path), whole("gdas"))


CHILD = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from snt_zoo.data import ImageDataset
from snt_zoo.search import run, stage
from tests.conftest import parted_digits
from tests.search.test_run import run as finetune
run.CHECKPOINT_SECONDS, stage.LEAST_STEPS = 0.0, 1
digits = parted_digits()
parts = [s.subset(torch.arange(n)) for s, n in ((digits.train, 200), (digits.val, 60), (digits.test, 60))]
save = run.save_checkpoint
def told(*args):
    save(*args)
    print("saved", flush=True)
run.save_checkpoint = told
finetune(ImageDataset("few-digits", digits.class_names, *parts), folder=Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_leaves_what_ends_with_the_same_bits(
    tmp_path: Path, few_digits: ImageDataset, whole: Any
) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        for _ in range(5):  # dies wherever it is some time after its fifth checkpoint
            assert child.stdout.readline() == "saved\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
    assert_same(what_counts(run(few_digits, folder=tmp_path, resume=True), tmp_path), whole("gdas"))


def test_within_an_epoch_checkpoints_are_written_by_the_clock(
    tmp_path: Path, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snt_zoo.search import run as runs

    now, saved = [0.0], []
    monkeypatch.setattr("snt_zoo.search.run.time.monotonic", lambda: now[0])
    monkeypatch.setattr(runs, "save_checkpoint", lambda folder, tensors, meta: saved.append((now[0], meta)))
    original = WeightLearner.step

    def step(self: WeightLearner, *args: Any) -> Tensor:
        now[0] += 25.0  # steps of 25 s: the third is the first to end 60 s after the last checkpoint
        return original(self, *args)

    monkeypatch.setattr(WeightLearner, "step", step)
    run(few_digits, folder=tmp_path)
    within = [at for at, meta in saved if "state" in meta]
    # Epochs of 3 and 4 steps: the search's end as the third step does, the derived ones' after a fourth.
    assert within == [75.0, 150.0, 225.0, 250.0, 325.0, 350.0]
