"""What the probe is told while a run goes on, and what of it the history keeps; whole, and interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import Sample, sketch
from snt_zoo.encoders.target import Target
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Pool
from snt_zoo.networks.evaluate import evaluate, logits
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import EpochRecord
from tests.encoders.making import cheap_backbone
from tests.search.runs import CONFIG, KilledError, finetune


class SaidFloor(Floor):
    """Says what it was made to say, and keeps what it was told."""

    def __init__(self, data: ImageDataset, *, grows: bool, together: float | None = None) -> None:
        sample = Sample.of(data, cheap_backbone())
        super().__init__(Target(sketch(data, sample=sample), data, sample))
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

    def grow(self) -> float:
        self.grown += 1
        return 0.75

    def under(self, result: FinetuneResult, device: torch.device) -> FinetuneResult:
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
    result = finetune(few_digits, CONFIG, budget=Budget(epochs=4), device="cpu", folder=tmp_path, floor=floor)
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

    options: dict[str, Any] = {"budget": Budget(epochs=4), "device": "cpu", "folder": tmp_path}
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
    options: dict[str, Any] = {"budget": Budget(epochs=3), "device": "cpu", "folder": tmp_path}
    with pytest.raises(KilledError):
        finetune(few_digits, CONFIG, **options, floor=SaidFloor(few_digits, grows=False), on_epoch=kill)
    again = SaidFloor(few_digits, grows=False)
    finetune(few_digits, CONFIG, **options, floor=again, resume=True)
    assert again.seen and all(said == measured for said, measured in again.seen)
