"""A run that trains networks of several sizes: what comes of it, its resumption, limits and budget."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.search.adapting import front_choice
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.front_choice import outwards
from snt_zoo.search.adapting.inherited import Inherited
from snt_zoo.search.adapting.result import PARETO, FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from tests.conftest import MakeSupernet
from tests.search.runs import CONFIG, RECIPE, KilledError, Machine, finetune, interrupt_after, same_weights


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer networks than in earnest."""
    monkeypatch.setattr(front_choice, "COMPARED", 8)


def run(
    data: ImageDataset, make: MakeSupernet, *, budget: Budget | None = None, **options: Any
) -> FinetuneResult:
    return finetune(
        data,
        make(CONFIG),
        id="tiny",
        budget=budget or Budget(epochs=1),
        recipe=RECIPE,
        pareto=True,
        **options,
    )


def test_several_networks_of_rising_size_and_accuracy_come_of_one_run(
    make_supernet: MakeSupernet, few_digits: ImageDataset, tmp_path: Path
) -> None:
    result = run(few_digits, make_supernet)
    front = result.front
    assert front is not None
    for left, right in itertools.pairwise(front.points):
        assert left.macs < right.macs and left.accuracy["val"] < right.accuracy["val"]
    trained = [*front.points, *front.dominated]
    assert len(trained) >= 3 and len(front.compared) == 8
    stages = [record.stage for record in result.history if record.stage.startswith("network ")]
    assert sorted(set(stages)) == [f"network {n + 1}" for n in range(len(trained))]
    assert result.accuracy == front.points[-1].accuracy and result.macs == front.points[-1].macs
    document = result.to_json(out=tmp_path / "model")
    result.save(tmp_path / "model")
    rows = document["pareto"]["networks"]
    assert len(rows) == len(trained) and sum(not row["dominated"] for row in rows) == len(front.points)
    for number, ((point, dominated), row) in enumerate(zip(front.networks, rows, strict=True), start=1):
        assert row["out"] == str(tmp_path / "model" / PARETO / str(number))
        assert (row["macs"], row["params"], row["latency"]) == (point.macs, point.params, None)
        assert row["dominated"] is dominated
        loaded = snt_zoo.load_model(row["out"])
        assert loaded.accuracy == dict(point.accuracy)
        assert evaluate(loaded.model, few_digits.test) == point.accuracy["test"]
        assert evaluate(loaded.model, few_digits.val) == point.accuracy["val"]
    html = (tmp_path / "model" / "report.html").read_text()
    assert "Networks of several sizes" in html and f"pareto/{len(trained)}" in html
    assert html.count('class="line"') >= 2


def test_each_begins_with_what_those_before_it_learned(
    make_supernet: MakeSupernet, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = Inherited.train, []

    def train(self: Inherited, *args: Any, **options: Any) -> Any:
        begins = self.model.trunk.stem[0].weight.clone()
        done = original(self, *args, **options)
        seen.append((options["stage"], begins, done.model.trunk.stem[0].weight))
        return done

    monkeypatch.setattr(Inherited, "train", train)
    run(few_digits, make_supernet)
    assert [stage for stage, _, _ in seen] == [f"network {n + 1}" for n in outwards(len(seen))]
    for (_, _, left), (_, begins, _) in itertools.pairwise(seen):
        assert torch.equal(left, begins)


def test_one_that_diverges_stays_as_it_began(
    make_supernet: MakeSupernet, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, begun = Inherited.train, []

    def train(self: Inherited, *args: Any, **options: Any) -> Any:
        if options["stage"] != "network 1":
            return original(self, *args, **options)
        begun.append(self.initial)
        torch.nn.init.normal_(self.model.head.weight)
        raise DivergenceError("the loss is not finite")

    monkeypatch.setattr(Inherited, "train", train)
    front = run(few_digits, make_supernet).front
    assert front is not None
    smallest = min((*front.points, *front.dominated), key=lambda point: point.macs)
    assert [smallest.accuracy["val"]] == begun == [evaluate(smallest.model, few_digits.val)]


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset, epoch: int
) -> None:
    whole = run(few_digits, make_supernet)
    with pytest.raises(KilledError):
        run(few_digits, make_supernet, folder=tmp_path, on_epoch=interrupt_after(epoch))
    assert (tmp_path / CHECKPOINT).is_file()
    resumed = run(few_digits, make_supernet, folder=tmp_path, resume=True)
    assert whole.front is not None and resumed.front is not None
    assert whole.front.compared == resumed.front.compared
    for left, right in zip(whole.front.points, resumed.front.points, strict=True):
        assert same_weights(left.model, right.model)
        assert (left.accuracy, left.steps) == (right.accuracy, right.steps)
    assert [(r.stage, r.val_accuracy) for r in whole.history] == [
        (r.stage, r.val_accuracy) for r in resumed.history
    ]


def test_limits_hold_for_each(make_supernet: MakeSupernet, few_digits: ImageDataset) -> None:
    free = run(few_digits, make_supernet).front
    assert free is not None
    macs = sorted(point.macs for point in (*free.points, *free.dominated))
    bounded = run(few_digits, make_supernet, limits=Limits(max_macs=macs[-1] - 1)).front
    assert bounded is not None
    assert max(point.macs for point in (*bounded.points, *bounded.dominated)) < macs[-1]


def test_a_budget_in_seconds_holds_all_of_it(
    make_supernet: MakeSupernet, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, image=1e-3)
    result = run(few_digits, make_supernet, budget=Budget(seconds=60), timer=machine)
    assert result.front is not None
    step = 4e-3 * RECIPE.batch_size
    assert 50 < result.seconds <= 60 + step
    ends = {record.stage: record.seconds for record in result.history if record.stage.startswith("network")}
    assert len(ends) >= 3


def test_a_probe_that_is_better_is_the_large_end(
    make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    target = Target.of(few_digits)
    result = run(few_digits, make_supernet, floor=Floor(target))
    assert result.front is not None and result.probe is not None
    if result.returned == "derived":
        assert all(point.returned == "derived" for point in result.front.points)
    else:
        assert result.front.points[-1].returned == result.returned
        assert result.front.points[-1].model is result.model
