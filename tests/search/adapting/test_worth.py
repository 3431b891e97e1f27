"""Who of a race is worth training, and worth a head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting import race as racing
from snt_zoo.search.adapting import worth
from snt_zoo.search.adapting.racer import Entrant, Racer
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.worth import large
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import EpochRecord
from tests.conftest import TINY
from tests.search.adapting.racers import CONFIG, RECIPE, KilledError, Ticks, dead_supernet, run, slow_down


def test_who_is_too_slow_to_train_keeps_its_head(
    few_digits: ImageDataset, entrants: list[Entrant], learned: Supernet, tmp_path: Path
) -> None:
    """The best one takes so long for a head that it could not be trained: another is, and both are kept."""
    racers = [Entrant("dead", dead_supernet(), RECIPE), entrants[2], entrants[4]]
    clock = Ticks()

    def kill(record: EpochRecord) -> None:
        if record.stage == "derived":
            raise KilledError

    options: dict[str, Any] = {"budget": Budget(seconds=300), "timer": clock, "folder": tmp_path}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
        slow_down(patch, learned, clock, seconds=100.0)
        run(few_digits, racers, on_epoch=kill, **options)
    result = run(few_digits, racers, resume=True, **options)  # it is still known after an interruption
    rows = {row["id"]: row for row in result.race}
    assert rows["learned"]["out"] == "slow" and result.source == "dead"
    assert result.best_head is not None and result.best_head.source == "learned"
    assert result.best_head.val_accuracy == rows["learned"]["rungs"][0]["val_accuracy"]
    assert evaluate(result.best_head.model, few_digits.val) == result.best_head.val_accuracy
    assert "too slow to be trained" in report_html(result)
    # With epochs to count there is nothing to be too slow for.
    assert not any(row["out"] == "slow" for row in run(few_digits, racers, budget=Budget(epochs=1)).race)


def test_a_slow_source_is_trained_only_if_its_head_has_far_fewer_errors(
    few_digits: ImageDataset, entrants: list[Entrant], learned: Supernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    racers = [Entrant("dead", dead_supernet(), RECIPE), entrants[2], entrants[4]]
    clock = Ticks()
    slow_down(monkeypatch, learned, clock, seconds=30.0)
    monkeypatch.setattr(worth, "DECISIVE", 0.5)
    decided = run(few_digits, racers, budget=Budget(seconds=300), timer=clock)
    rows = {row["id"]: row for row in decided.race}
    assert decided.source == "learned" and rows["dead"]["out"] == "rung 0"
    assert rows["scratch"]["out"] == "time" and decided.best_head is None
    clock.now = 0.0
    monkeypatch.setattr(worth, "DECISIVE", 0.1)
    doubtful = run(few_digits, racers, budget=Budget(seconds=300), timer=clock)
    assert doubtful.source == "dead" and doubtful.race[1]["out"] == "slow"


def test_of_heads_that_are_about_as_good_the_quicker_source_is_trained(
    few_digits: ImageDataset, entrants: list[Entrant], learned: Supernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = Supernet.create(CONFIG, generator=torch.Generator())
    twin.load_state_dict(learned.with_head(10, generator=torch.Generator()).state_dict())
    with torch.no_grad():
        next(iter(twin.trunk.parameters())).mul_(1.0001)  # so that it can be told apart
    racers = [entrants[2], Entrant("twin", twin, RECIPE), Entrant("dead", dead_supernet(), RECIPE)]
    clock = Ticks()
    slow_down(monkeypatch, learned, clock, seconds=8.0)
    few = run(few_digits, racers, budget=Budget(seconds=400), timer=clock)
    assert few.source == "twin" and few.race[0]["out"] == "slow"  # it could make but a hundred steps
    monkeypatch.setattr(worth, "MANY_STEPS", 0)
    result = run(few_digits, racers, budget=Budget(seconds=400), timer=clock)
    heads = {row["id"]: row["rungs"][0]["val_accuracy"] for row in result.race}
    assert heads["learned"] >= heads["twin"] > heads["dead"]
    assert result.source == "twin"
    # The other is not slow: it was behind by its time.
    assert {row["id"]: row["out"] for row in result.race} == {
        "learned": "rung 0",
        "twin": None,
        "dead": "rung 0",
    }


def test_a_slow_source_gets_no_head_where_that_takes_too_much_of_the_budget(
    few_digits: ImageDataset, entrants: list[Entrant], monkeypatch: pytest.MonkeyPatch
) -> None:
    racers = [replace(entrants[0], macs=10_000), replace(entrants[2], macs=10), entrants[1]]
    short = run(few_digits, racers, budget=Budget(seconds=200), timer=Ticks())
    rows = {row["id"]: row for row in short.race}
    assert rows["a"]["rungs"] == [] and rows["a"]["out"] == "slow"
    assert rows["learned"]["rungs"] and rows["b"]["rungs"]  # of what has no number nothing is expected
    # Where its head costs little, it has one, after the others; so it has where epochs are counted.
    monkeypatch.setattr(worth, "HEAD_SHARE", 1e6)
    for budget, clock in ((Budget(seconds=200), Ticks()), (Budget(epochs=1), Ticks())):
        result = run(few_digits, racers, budget=budget, timer=clock)
        heads = [r.who for r in result.history if r.stage == "race"][:3]
        assert heads == ["learned", "b", "a"]
        monkeypatch.undo()


def test_a_multiply_accumulate_of_darts_counts_by_the_time_that_it_takes() -> None:
    def racer(space: str, macs: int | None) -> Racer:
        source = Supernet.create(TINY[space], generator=torch.Generator())
        return Racer(Entrant(space, source, RECIPE, macs=macs), source)

    small, cells, unknown = racer("nas_bench_201", 100), racer("darts", 40), racer("darts", None)
    assert cells.entrant.cost == 240 and small.entrant.cost == 100 and unknown.entrant.cost is None
    assert large([small, cells, unknown]) == [cells]
    assert large([racer("mobile", 150), small]) == [] and large([unknown]) == []


@pytest.fixture(params=[0.0, 50.0])
def errors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Standard errors within which a generalist goes first; who is quicker does not."""
    monkeypatch.setattr(worth, "CLEAR_ERRORS", request.param)
    monkeypatch.setattr(worth, "QUICKER", 0.0)
    return float(request.param)


def test_of_heads_that_are_not_clearly_ahead_a_generalist_is_trained(
    few_digits: ImageDataset, entrants: list[Entrant], errors: float
) -> None:
    general = Entrant("general", dead_supernet(), RECIPE, breadth=2)
    racers = [entrants[2], general, Entrant("dead", dead_supernet(), RECIPE)]
    result = run(few_digits, racers, budget=Budget(seconds=100), timer=Ticks())
    rows = {row["id"]: row for row in result.race}
    heads = {id: row["rungs"][0]["val_accuracy"] for id, row in rows.items()}
    assert heads["learned"] > heads["general"] == heads["dead"]
    assert result.source == ("general" if errors else "learned")
    assert rows["learned"]["out"] == ("generalist" if errors else None)
    assert rows["dead"]["out"] == "rung 0"
    assert ("not clearly ahead of a generalist" in report_html(result)) == (errors > 0)


def test_of_generalists_that_are_about_as_good_the_broadest_is_trained(
    few_digits: ImageDataset, entrants: list[Entrant], errors: float
) -> None:
    racers = [
        replace(entrants[2], breadth=5),
        Entrant("broad", dead_supernet(), RECIPE, breadth=30),
        Entrant("narrow", dead_supernet(), RECIPE, breadth=2),
    ]
    result = run(few_digits, racers, budget=Budget(seconds=100), timer=Ticks())
    assert result.source == ("broad" if errors else "learned")


def test_the_best_of_a_heat_may_be_too_slow(
    digits: ImageDataset, entrants: list[Entrant], learned: Supernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are left are far behind it, and all the same they race on."""
    monkeypatch.setattr(racing, "HEAT_IMAGES", 300)
    monkeypatch.setattr(worth, "DECISIVE", 0.0)
    clock = Ticks()
    slow_down(monkeypatch, learned, clock, seconds=20.0)
    dead = [Entrant(id, dead_supernet(), RECIPE) for id in ("x", "y", "z")]
    result = run(digits, [entrants[2], *dead, entrants[4]], budget=Budget(seconds=600), timer=clock)
    rows = {row["id"]: row for row in result.race}
    assert result.source in {"x", "y", "z", "scratch"} and rows["learned"]["out"] == "slow"
    assert result.best_head is not None and result.best_head.source == "learned"
