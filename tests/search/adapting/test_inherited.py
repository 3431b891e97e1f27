"""How a derived network begins, and what it takes over from others."""

from __future__ import annotations

import time

import pytest
import torch
from torch.nn import functional

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate, logits
from snt_zoo.networks.head import begin_on
from snt_zoo.networks.spread import spread
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.inherited import Inherited, looked_at
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import Run, RunOptions
from tests.conftest import MakeSupernet
from tests.search.runs import CONFIG, RECIPE


@pytest.fixture
def supernet(make_supernet: MakeSupernet, few_digits: ImageDataset) -> Supernet:
    made = make_supernet(CONFIG)
    begin_on(made, few_digits.train, few_digits.val)
    return made


def begun(supernet: Supernet, data: ImageDataset, **options: object) -> tuple[Candidate, Run, Inherited]:
    candidate = Candidate("tiny", supernet, RECIPE)
    run = Run(RunOptions(Budget(epochs=1), timer=time.perf_counter), settings={}, val=data.val)
    return candidate, run, Inherited.of(candidate, supernet, data, run, **options)  # type: ignore[arg-type]


def test_it_begins_with_the_better_norms(supernet: Supernet, few_digits: ImageDataset) -> None:
    _, _, found = begun(supernet, few_digits)
    assert found.initial == max(found.steps["inherited"], found.steps["recalibrated"])
    assert evaluate(found.model, few_digits.val) == found.initial
    assert found.pace > 0 and not found.kept


def test_a_surer_head_is_not_kept(supernet: Supernet, few_digits: ImageDataset) -> None:
    _, _, found = begun(supernet, few_digits)
    with torch.no_grad():
        found.model.head.weight.mul_(1000)  # as right as before, and far too sure

    def loss() -> float:
        return float(functional.cross_entropy(logits(found.model, few_digits.val), few_digits.val.labels))

    before = loss()
    found.fit_head(few_digits, 512)
    assert loss() < before
    assert found.initial == evaluate(found.model, few_digits.val)
    good = found.model.head.weight.clone()
    found.fit_head(few_digits, 12)  # of so few images comes a worse one
    assert torch.equal(found.model.head.weight, good)


def test_what_is_trained_and_what_is_not_is_measured_on_the_test_part(
    supernet: Supernet, few_digits: ImageDataset
) -> None:
    candidate, run, found = begun(supernet, few_digits)
    trained = found.train(candidate, few_digits, run, stage="network 1")
    assert {record.stage for record in run.history} == {"network 1"}
    assert trained.steps["finetuned"] == evaluate(trained.model, few_digits.val) >= found.initial
    assert torch.equal(trained.test, logits(trained.model, few_digits.test))
    _, _, other = begun(supernet, few_digits)
    untrained = other.untrained(few_digits)
    assert untrained.derived_steps == 0 and untrained.steps["finetuned"] == other.initial


def test_what_it_looks_at_beside_its_training_is_known(
    supernet: Supernet, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = DerivedModel.features, []

    def features(self: DerivedModel, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return original(self, x)

    monkeypatch.setattr(DerivedModel, "features", features)
    _, _, found = begun(supernet, few_digits)
    found.fit_head(few_digits, 40)
    found.untrained(few_digits)
    assert sum(seen) == looked_at(few_digits, 40)


def test_it_takes_over_what_others_have_in_common(supernet: Supernet, few_digits: ImageDataset) -> None:
    small, large = spread(supernet, 4)[0], spread(supernet, 4)[-1]
    _, _, found = begun(supernet, few_digits, genotype=large)
    trained = found.model
    with torch.no_grad():
        trained.trunk.stem[0].weight.add_(1)
    _, _, alone = begun(supernet, few_digits, genotype=small)
    _, _, after = begun(supernet, few_digits, genotype=small, before=[trained])
    assert torch.equal(after.model.trunk.stem[0].weight, trained.trunk.stem[0].weight)
    assert not torch.equal(after.model.trunk.stem[0].weight, alone.model.trunk.stem[0].weight)
    assert after.model.genotype == small


def test_images_of_another_size(supernet: Supernet, few_digits: ImageDataset) -> None:
    _, _, found = begun(supernet, few_digits, input_size=24)
    assert found.model.config.input_size == 24 != supernet.config.input_size
