"""The stages of a run, its repeatability and resumption, and what the probe beside it is asked and told."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.encoders.target import Target
from snt_zoo.errors import ResumeError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Pool
from snt_zoo.networks.evaluate import evaluate, logits
from snt_zoo.networks.head import begin_on, preparation
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.adapting import finetune as finetuning
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.finetune import worthwhile
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.race import RACE_SHARE, affordable, images_for_head
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, Run, RunOptions
from tests.conftest import TINY, MakeSupernet
from tests.encoders.making import cheap_backbone
from tests.search.runs import (
    CONFIG,
    RECIPE,
    KilledError,
    Machine,
    finetune,
    interrupt_after,
    same_weights,
)


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
    result = finetune(few_digits, CONFIG, budget=Budget(seconds=3), recipe=Recipe(batch_size=64))
    # A step, an evaluation and the last test on this tiny network take well under the margin.
    assert 2.5 <= result.seconds < 3 + 4
    assert {record.stage for record in result.history} == {"search", "derived"}


@pytest.mark.parametrize(("later", "times"), [(0.0, 1.0), (0.0, 4.0), (0.0, 8.0), (10.0, 4.0), (20.0, 4.0)])
def test_a_budget_holds_on_a_slow_machine_and_on_one_that_becomes_slower(
    few_digits: ImageDataset,
    candidates: list[Candidate],
    monkeypatch: pytest.MonkeyPatch,
    later: float,
    times: float,
) -> None:
    target = Target.of(few_digits)
    machine = Machine(monkeypatch, image=0.002, later=later, times=times)
    floor = Floor(target, seconds=4.5, pace=0.03, timer=machine)
    result = finetune(few_digits, candidates, budget=Budget(seconds=30.0), floor=floor, timer=machine)
    assert machine.now <= 33.0 and result.seconds == pytest.approx(machine.now)
    if times == 1.0:
        assert machine.now >= 29.0  # no time is left over
    assert result.accuracy["test"] == evaluate(result.model, few_digits.test)


@pytest.mark.parametrize("image", [0.002, 0.02])
def test_the_first_head_of_a_run_is_fitted_to_as_many_images_as_there_is_time_for(
    digits: ImageDataset, learned: Supernet, monkeypatch: pytest.MonkeyPatch, image: float
) -> None:
    machine = Machine(monkeypatch, image=image)
    run = Run(RunOptions(Budget(seconds=30.0), timer=machine), settings={}, val=digits.val)
    images = images_for_head(learned, digits.train, run)
    assert (images >= len(digits.train)) == (image == 0.002)
    timed = machine.now
    begin_on(learned, digits.train.thinned(images), digits.val)
    assert images == 2 * 10 or machine.now - timed <= RACE_SHARE * 30.0
    counted = Run(RunOptions(Budget(epochs=2), timer=machine), settings={}, val=digits.val)
    before = machine.now
    assert images_for_head(learned, digits.train, counted) == affordable(counted, 1.0, learned) == sys.maxsize
    assert machine.now == before  # a run that must repeat times nothing


def test_data_that_do_not_fit_in_memory_train_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    from snt_zoo.data import dataset

    source = make_supernet(CONFIG)
    held = run(few_digits, source, epochs=1)
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", 0)
    streamed = run(few_digits, source, epochs=1)
    assert same_weights(held.model, streamed.model) and held.accuracy == streamed.accuracy


def test_a_search_that_would_see_every_image_but_a_few_times_is_left_out(
    few_digits: ImageDataset, make_supernet: MakeSupernet
) -> None:
    recipe = Recipe(search_share=0.1)
    assert worthwhile(recipe, 600.0, 2.5) == 0.1 and worthwhile(recipe, 600.0, 3.5) == 0.0
    assert worthwhile(replace(recipe, search_passes=0), 600.0, 3.5) == 0.1
    source = make_supernet(TINY["nas_bench_201"])
    ticks = itertools.count()
    options: dict[str, Any] = {"timer": lambda: float(next(ticks))}
    short = finetune(few_digits, source, budget=Budget(seconds=60), **options)
    assert {record.stage for record in short.history} == {"head", "derived"}
    assert short.genotype == source.genotype()
    long = finetune(
        few_digits,
        source,
        budget=Budget(seconds=120),
        recipe=replace(Recipe.for_transfer(), search_share=0.5),
        **options,
    )
    assert "search" in {record.stage for record in long.history}


def test_training_from_published_norms_begins_with_norms_and_a_head_of_its_own(
    few_digits: ImageDataset, make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch
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
    result = finetune(few_digits, source, budget=Budget(epochs=2))
    assert result.steps["inherited"] > result.steps["recalibrated"]
    trained = [record.val_accuracy for record in result.history if record.stage == "derived"]
    assert len(prepared) == 1 and trained == prepared * 2  # it stood still
    assert result.steps["finetuned"] == max(prepared[0], result.steps["inherited"])
    assert evaluate(result.model, few_digits.val) == result.steps["finetuned"]


class SaidFloor(Floor):
    """Says what it was made to say, and keeps what it was told."""

    def __init__(self, data: ImageDataset, *, grows: bool, together: float | None = None) -> None:
        super().__init__(Target.of(data, cheap_backbone()))
        self.grows, self.said = grows, together
        self.asked: list[float] = []
        self.seen: list[tuple[float, float]] = []
        self.grown = 0
        self.logits = torch.empty(0)

    def look(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        self.seen.append((accuracy, evaluate(network, self.data.val)))
        self.logits = logits(network, self.data.val)

    def pool(self) -> tuple[Pool, Pool] | None:
        if self.said is None:
            return None
        pool = Pool(torch.ones(2), torch.zeros(2, dtype=torch.float64), self.said)
        return pool, pool

    def matters(self, reached: float) -> bool:
        self.asked.append(reached)
        return self.grows

    def grow(self, *, closer: int = 0) -> float:
        self.grown += 1
        return 0.75

    def under(
        self, result: FinetuneResult, device: torch.device, test: torch.Tensor | None = None
    ) -> FinetuneResult:
        return result


def test_the_probe_is_asked_at_the_start_and_halfway_through_the_last_stage(
    few_digits: ImageDataset, candidates: list[Candidate], tmp_path: Path
) -> None:
    floor = SaidFloor(few_digits, grows=False)
    result = finetune(few_digits, candidates[2:], budget=Budget(epochs=4), floor=floor)
    before = [r.val_accuracy for r in result.history if r.stage == "derived"][:2]
    assert floor.asked == [max(*before, result.steps["recalibrated"], result.steps["inherited"])]
    probe = [(r.stage, r.val_accuracy) for r in result.history if r.stage == "probe"]
    assert probe == [("probe", floor.probe.val_accuracy)]
    assert result.history[0].stage == "probe" and "linear probe" in report_html(result.to_json())


def test_the_probe_sees_each_best_network_as_it_is(few_digits: ImageDataset, tmp_path: Path) -> None:
    floor = SaidFloor(few_digits, grows=True, together=0.9)
    result = finetune(few_digits, CONFIG, budget=Budget(epochs=4), folder=tmp_path, floor=floor)
    derived = [r for r in result.history if r.stage == "derived"]
    best, improved = max(result.steps["inherited"], result.steps["recalibrated"]), 1
    for record in derived:
        improved += record.val_accuracy >= best
        best = max(best, record.val_accuracy)
    assert len(floor.seen) == improved and floor.seen[-1][0] == best == result.steps["finetuned"]
    for said, measured in floor.seen:
        assert said == measured  # the network that was shown has the accuracy that was told
    assert isinstance(result.model, DerivedModel)
    assert torch.equal(floor.logits, logits(result.model, few_digits.val))
    stages = [r.stage for r in result.history]
    assert stages.count("ensemble") == improved + 1  # and once more when the rival had grown
    assert stages[stages.index("ensemble") - 1] == "search" and "network and probe" in report_html(
        result.to_json()
    )


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_the_probe_of_a_run_that_goes_on_knows_what_it_was_asked(
    few_digits: ImageDataset, tmp_path: Path, epochs_before: int
) -> None:
    """Killed before it was asked halfway, and after: it grows in either case, and is recorded once."""

    def kill(record: EpochRecord) -> None:
        if [r.stage for r in records].count("derived") == epochs_before:
            raise KilledError
        records.append(record)

    options: dict[str, Any] = {"budget": Budget(epochs=4), "folder": tmp_path}
    whole = SaidFloor(few_digits, grows=True, together=0.9)
    expected = finetune(few_digits, CONFIG, **options, floor=whole)
    records: list[EpochRecord] = []
    with pytest.raises(KilledError):
        finetune(
            few_digits,
            CONFIG,
            **options,
            floor=SaidFloor(few_digits, grows=True, together=0.9),
            on_epoch=kill,
        )
    again = SaidFloor(few_digits, grows=True, together=0.9)
    resumed = finetune(few_digits, CONFIG, **options, floor=again, resume=True)
    assert (whole.grown, again.grown) == (1, 1) and torch.equal(again.logits, whole.logits)
    assert [(r.stage, r.val_accuracy) for r in resumed.history] == [
        (r.stage, r.val_accuracy) for r in expected.history
    ]
    assert [r.stage for r in resumed.history].count("probe") == 2


def test_a_probe_that_goes_on_looks_at_the_best_network_and_not_at_the_last(
    few_digits: ImageDataset, tmp_path: Path
) -> None:
    def kill(record: EpochRecord) -> None:
        derived.append(record.stage)
        if derived.count("derived") == 3:
            raise KilledError

    derived: list[str] = []
    options: dict[str, Any] = {"budget": Budget(epochs=3), "folder": tmp_path}
    with pytest.raises(KilledError):
        finetune(few_digits, CONFIG, **options, floor=SaidFloor(few_digits, grows=False), on_epoch=kill)
    again = SaidFloor(few_digits, grows=False)
    finetune(few_digits, CONFIG, **options, floor=again, resume=True)
    assert again.seen and all(said == measured for said, measured in again.seen)
