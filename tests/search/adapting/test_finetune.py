"""The stages of a run, its repeatability and its resumption."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.errors import ResumeError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.networks.head import preparation
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.adapting import finetune as finetuning
from snt_zoo.search.adapting.finetune import worthwhile
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.bilevel import bilevel_parts
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.runs import RECIPE, KilledError, finetune, interrupt_after, pretrain

MakeSupernet = Callable[..., Supernet]
CONFIG = TINY["nas_bench_201"]


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def run(
    data: ImageDataset, source: Supernet | NetworkConfig, *, epochs: int = 2, **options: Any
) -> FinetuneResult:
    return finetune(data, source, budget=Budget(epochs=epochs), recipe=RECIPE, **options)


def test_a_transferred_run_goes_through_its_stages(
    make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    source = make_supernet(replace(CONFIG, num_classes=7))  # other classes than the target's
    before = {k: v.clone() for k, v in source.state_dict().items()}
    result = run(few_digits, source, id="some-id")
    assert [record.stage for record in result.history] == ["head", "search", "search", "derived", "derived"]
    assert [record.epoch for record in result.history] == [0, 1, 2, 3, 4]
    assert result.source == "some-id"
    assert result.model.head.out_features == 10
    assert all(torch.equal(v, before[k]) for k, v in source.state_dict().items())  # the source is untouched


def test_a_run_from_scratch_has_no_head_stage(few_digits: ImageDataset) -> None:
    result = run(few_digits, CONFIG)
    assert [record.stage for record in result.history] == ["search", "search", "derived", "derived"]
    assert result.source == "scratch"


def test_the_best_epoch_by_validation_is_handed_back(
    make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    result = run(few_digits, make_supernet(CONFIG), epochs=3)
    derived = [r.val_accuracy for r in result.history if r.stage == "derived"]
    assert result.accuracy["val"] == max([result.steps["recalibrated"], *derived])
    assert evaluate(result.model, few_digits.val) == result.accuracy["val"]
    assert evaluate(result.model, few_digits.test) == result.accuracy["test"]
    searched = [r.val_accuracy for r in result.history if r.stage in ("head", "search")]
    assert evaluate(result.supernet, few_digits.val) == result.steps["supernet"] == max(searched)
    assert result.steps["inherited"] == pytest.approx(result.steps["supernet"], abs=1e-9)
    assert result.supernet.genotype() == result.genotype


@pytest.mark.parametrize("transferred", [False, True])
def test_seeded_runs_repeat_to_the_bit(
    make_supernet: MakeSupernet, few_digits: ImageDataset, transferred: bool
) -> None:
    source = make_supernet(CONFIG) if transferred else CONFIG
    first, again, other = (run(few_digits, source, seed=seed) for seed in (1, 1, 2))
    assert same_weights(first.model, again.model) and same_weights(first.supernet, again.supernet)
    assert first.genotype == again.genotype and first.accuracy == again.accuracy
    assert [r.loss for r in first.history] == [r.loss for r in again.history]
    assert [r.loss for r in first.history] != [r.loss for r in other.history]


@pytest.mark.parametrize(
    ("space", "epoch"), [*(("nas_bench_201", epoch) for epoch in range(5)), ("darts", 2), ("darts", 4)]
)
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset, epoch: int, space: str
) -> None:
    source = make_supernet(TINY[space])
    whole = run(few_digits, source)
    with pytest.raises(KilledError):
        run(few_digits, source, folder=tmp_path, on_epoch=interrupt_after(epoch))
    if epoch == 0:  # killed before anything was kept
        assert not (tmp_path / CHECKPOINT).exists()
        return
    resumed = run(few_digits, source, folder=tmp_path, resume=True)
    assert same_weights(whole.model, resumed.model) and same_weights(whole.supernet, resumed.supernet)
    assert whole.genotype == resumed.genotype and whole.steps == resumed.steps
    whole_accuracies = [(r.stage, r.epoch, r.val_accuracy, r.loss) for r in whole.history]
    assert whole_accuracies == [(r.stage, r.epoch, r.val_accuracy, r.loss) for r in resumed.history]


def test_resuming_needs_a_checkpoint_of_the_same_run(
    tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    source = make_supernet(CONFIG)
    with pytest.raises(ResumeError, match="leave out --resume"):
        run(few_digits, source, folder=tmp_path, resume=True)
    with pytest.raises(KilledError):
        run(few_digits, source, folder=tmp_path, on_epoch=interrupt_after(2))
    with pytest.raises(ResumeError, match="another seed"):
        run(few_digits, source, folder=tmp_path, resume=True, seed=5)
    (tmp_path / CHECKPOINT).write_bytes(b"\x00" * 100)
    with pytest.raises(ResumeError, match="cannot be read"):
        run(few_digits, source, folder=tmp_path, resume=True)


def test_a_budget_in_seconds_is_kept(few_digits: ImageDataset) -> None:
    result = finetune(
        few_digits, CONFIG, budget=Budget(seconds=3), recipe=Recipe(batch_size=64), device="cpu"
    )
    # A step, an evaluation and the last test on this tiny network take well under the margin.
    assert 3 <= result.seconds < 3 + 4
    assert {record.stage for record in result.history} == {"search", "derived"}


def test_weights_and_alphas_learn_from_separate_images(digits: ImageDataset) -> None:
    weights, alphas = bilevel_parts(digits.train, Recipe(alpha_share=0.5), seed=0)
    assert len(weights) + len(alphas) == len(digits.train)
    assert abs(len(weights) - len(alphas)) <= digits.num_classes
    whole = torch.cat([weights.tensor(8), alphas.tensor(8)]).flatten(1)
    assert torch.equal(
        whole.unique(dim=0), digits.train.tensor(8).flatten(1).unique(dim=0)
    )  # together they are the training split
    assert set(weights.labels.tolist()) == set(alphas.labels.tolist()) == set(range(10))


def test_data_that_do_not_fit_in_memory_train_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    from snt_zoo.data import dataset

    source = make_supernet(CONFIG)
    held = run(few_digits, source, epochs=1)
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", 0)
    streamed = run(few_digits, source, epochs=1)
    assert same_weights(held.model, streamed.model) and held.accuracy == streamed.accuracy


def test_one_image_a_class_trains_both(digits: ImageDataset) -> None:
    first = torch.stack([(digits.train.labels == label).nonzero()[0, 0] for label in range(10)])
    split = digits.train.subset(first)
    weights, alphas = bilevel_parts(split, Recipe(), seed=0)
    assert weights is split and alphas is split


def test_an_interrupted_pretraining_goes_on_with_the_same_bits(
    tmp_path: Path, few_digits: ImageDataset
) -> None:
    options = {"budget": Budget(epochs=3), "recipe": Recipe(batch_size=64), "device": "cpu"}
    whole = pretrain(few_digits, CONFIG, **options)
    with pytest.raises(KilledError):
        pretrain(few_digits, CONFIG, folder=tmp_path, on_epoch=interrupt_after(2), **options)
    resumed = pretrain(few_digits, CONFIG, folder=tmp_path, resume=True, **options)
    assert same_weights(whole.supernet, resumed.supernet)
    assert (whole.val_accuracy, whole.test_accuracy) == (resumed.val_accuracy, resumed.test_accuracy)


def test_a_search_that_would_see_every_image_but_a_few_times_is_left_out(
    few_digits: ImageDataset, make_supernet: Callable[..., Supernet]
) -> None:
    recipe = Recipe(search_share=0.1)
    assert worthwhile(recipe, 600.0, 2.5) == 0.1 and worthwhile(recipe, 600.0, 3.5) == 0.0
    assert worthwhile(replace(recipe, search_passes=0), 600.0, 3.5) == 0.1
    source = make_supernet(TINY["nas_bench_201"])
    ticks = itertools.count()
    options: dict[str, Any] = {"device": "cpu", "timer": lambda: float(next(ticks))}
    short = finetune(few_digits, source, budget=Budget(seconds=60), **options)
    assert {record.stage for record in short.history} == {"head", "derived"}
    assert short.genotype == source.genotype()
    long = finetune(
        few_digits,
        source,
        budget=Budget(seconds=60),
        recipe=replace(Recipe.for_transfer(), search_share=0.5),
        **options,
    )
    assert "search" in {record.stage for record in long.history}


def test_training_from_published_norms_begins_with_norms_and_a_head_of_its_own(
    few_digits: ImageDataset, make_supernet: Callable[..., Supernet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the network as it came is kept, as what training must beat."""

    def spoil(network: DerivedModel, split: Split) -> None:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.add_(3.0)

    prepared: list[float] = []

    def prepare(network: DerivedModel, train: Split, norms: str) -> Callable[[], None]:
        measure = preparation(network, train, "published")
        assert norms == "published" and measure is not None
        return lambda: prepared.append((measure(), evaluate(network, few_digits.val))[1])

    def stand_still(self: WeightLearner, images: Any, labels: Any, progress: float) -> torch.Tensor:
        return self.tally.state()["total"] * 0

    monkeypatch.setattr(finetuning, "recalibrate", spoil)
    monkeypatch.setattr(finetuning, "preparation", prepare)
    monkeypatch.setattr(WeightLearner, "step", stand_still)
    source = make_supernet(TINY["mobile"])
    result = finetune(few_digits, source, budget=Budget(epochs=2), device="cpu")
    assert result.steps["inherited"] > result.steps["recalibrated"]
    trained = [record.val_accuracy for record in result.history if record.stage == "derived"]
    assert len(prepared) == 1 and trained == prepared * 2  # it stood still
    assert result.steps["finetuned"] == max(prepared[0], result.steps["inherited"])
    assert evaluate(result.model, few_digits.val) == result.steps["finetuned"]
