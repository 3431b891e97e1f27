"""What a run tells a rival, and what of it the history keeps; whole, and interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate, logits
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.finetune import finetune
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import EpochRecord
from tests.search.adapting.racers import CONFIG, KilledError, run


class SaidRival:
    """Says what it was made to say, and keeps what it was told."""

    def __init__(self, data: ImageDataset, *, grows: bool, together: float | None = None) -> None:
        self.val, self.grows, self.said = data.val, grows, together
        self.asked: list[float] = []
        self.seen: list[tuple[float, float]] = []
        self.grown = 0
        self.logits: Tensor = torch.empty(0)

    def begin(self) -> float:
        return 0.25

    def look(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        self.seen.append((accuracy, evaluate(network, self.val)))
        self.logits = logits(network, self.val)

    def together(self) -> float | None:
        return self.said

    def matters(self, reached: float) -> bool:
        self.asked.append(reached)
        return self.grows

    def grow(self) -> float:
        self.grown += 1
        return 0.75


def test_the_rival_is_asked_at_the_start_and_halfway_through_the_last_stage(
    few_digits: ImageDataset, entrants: list[Entrant], tmp_path: Path
) -> None:
    rival = SaidRival(few_digits, grows=False)
    result = run(few_digits, entrants[2:], budget=Budget(epochs=4), rival=rival)
    before = [r.val_accuracy for r in result.history if r.stage == "derived"][:2]
    assert rival.asked == [max(*before, result.steps["recalibrated"], result.steps["inherited"])]
    assert [(r.stage, r.val_accuracy) for r in result.history if r.stage == "probe"] == [("probe", 0.25)]
    assert result.history[0].stage == "probe" and "linear probe" in report_html(result)


def test_the_rival_sees_each_best_network_as_it_is(few_digits: ImageDataset, tmp_path: Path) -> None:
    rival = SaidRival(few_digits, grows=True, together=0.9)
    result = finetune(few_digits, CONFIG, budget=Budget(epochs=4), device="cpu", folder=tmp_path, rival=rival)
    derived = [r for r in result.history if r.stage == "derived"]
    best, improved = max(result.steps["inherited"], result.steps["recalibrated"]), 1
    for record in derived:
        improved += record.val_accuracy >= best
        best = max(best, record.val_accuracy)
    assert len(rival.seen) == improved and rival.seen[-1][0] == best == result.steps["finetuned"]
    for said, measured in rival.seen:
        assert said == measured  # the network that was shown has the accuracy that was told
    assert isinstance(result.model, DerivedModel)
    assert torch.equal(rival.logits, logits(result.model, few_digits.val))
    stages = [r.stage for r in result.history]
    assert stages.count("ensemble") == improved + 1  # and once more when the rival had grown
    assert stages[stages.index("ensemble") - 1] == "search" and "network and probe" in report_html(result)


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_the_rival_of_a_run_that_goes_on_knows_what_it_was_asked(
    few_digits: ImageDataset, tmp_path: Path, epochs_before: int
) -> None:
    """Killed before it was asked halfway, and after: it grows in either case, and is recorded once."""

    def kill(record: EpochRecord) -> None:
        if [r.stage for r in records].count("derived") == epochs_before:
            raise KilledError
        records.append(record)

    options: dict[str, Any] = {"budget": Budget(epochs=4), "device": "cpu", "folder": tmp_path}
    whole = SaidRival(few_digits, grows=True, together=0.9)
    expected = finetune(few_digits, CONFIG, **options, rival=whole)
    records: list[EpochRecord] = []
    with pytest.raises(KilledError):
        finetune(
            few_digits,
            CONFIG,
            **options,
            rival=SaidRival(few_digits, grows=True, together=0.9),
            on_epoch=kill,
        )
    again = SaidRival(few_digits, grows=True, together=0.9)
    resumed = finetune(few_digits, CONFIG, **options, rival=again, resume=True)
    assert (whole.grown, again.grown) == (1, 1) and torch.equal(again.logits, whole.logits)
    assert [(r.stage, r.val_accuracy) for r in resumed.history] == [
        (r.stage, r.val_accuracy) for r in expected.history
    ]
    assert [r.stage for r in resumed.history].count("probe") == 2


def test_a_rival_that_goes_on_looks_at_the_best_network_and_not_at_the_last(
    few_digits: ImageDataset, tmp_path: Path
) -> None:
    def kill(record: EpochRecord) -> None:
        derived.append(record.stage)
        if derived.count("derived") == 3:
            raise KilledError

    derived: list[str] = []
    options: dict[str, Any] = {"budget": Budget(epochs=3), "device": "cpu", "folder": tmp_path}
    with pytest.raises(KilledError):
        finetune(few_digits, CONFIG, **options, rival=SaidRival(few_digits, grows=False), on_epoch=kill)
    again = SaidRival(few_digits, grows=False)
    finetune(few_digits, CONFIG, **options, rival=again, resume=True)
    assert again.seen and all(said == measured for said, measured in again.seen)
