"""The race: what stays, what goes on, and that nothing of it is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.errors import InfeasibleError, ResumeError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import Beginning, Norms, fit_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting import race as racing
from snt_zoo.search.adapting import racer, worth
from snt_zoo.search.adapting.finetune import FinetuneResult, finetune
from snt_zoo.search.adapting.race import RACE_SHARE
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.adapting.report import report_html, report_json
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.run import EpochRecord
from tests.search.adapting.racers import CONFIG, RECIPE, KilledError, Ticks, dead_supernet, run


@pytest.fixture(scope="module")
def whole(few_digits: ImageDataset, entrants: list[Entrant]) -> FinetuneResult:
    return run(few_digits, entrants)


def tail(result: FinetuneResult) -> list[tuple[Any, ...]]:
    return [(r.stage, r.val_accuracy, r.loss, r.who) for r in result.history]


def same(left: FinetuneResult, right: FinetuneResult) -> bool:
    pairs = [
        *zip(left.model.state_dict().items(), right.model.state_dict().items(), strict=True),
        *zip(left.supernet.state_dict().items(), right.supernet.state_dict().items(), strict=True),
    ]
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs) and tail(left) == tail(right)


def test_the_better_half_stays_and_the_best_goes_on(whole: FinetuneResult) -> None:
    rows = {row["id"]: row for row in whole.race}
    assert list(rows) == ["a", "b", "learned", "c", "scratch"]
    first = {id: row["rungs"][0]["val_accuracy"] for id, row in rows.items() if id != "scratch"}
    best = sorted(first, key=lambda id: -first[id])[:2]
    # Two of four are trained, and so is the guard, which has no first rung; then the best of them goes on.
    assert {id for id, row in rows.items() if len(row["rungs"]) == 2} == set(best)
    last = {id: rows[id]["rungs"][-1]["val_accuracy"] for id in (*best, "scratch")}
    assert len(rows["scratch"]["rungs"]) == 1 and last[whole.source] == max(last.values())
    assert {id for id, row in rows.items() if row["won"]} == {whole.source}
    assert {rows[id]["out"] for id in last if id != whole.source} == {"rung 1"}
    assert {row["out"] for id, row in rows.items() if id not in best and id != "scratch"} == {"rung 0"}
    # No rung makes a source worse: what was better is kept.
    for id in best:
        accuracies = [rung["val_accuracy"] for rung in rows[id]["rungs"]]
        assert accuracies == sorted(accuracies)
    assert whole.steps["supernet"] >= last[whole.source]
    told = [(r.stage, r.who) for r in whole.history if r.stage == "race"]
    assert told == [("race", id) for id in ("a", "b", "learned", "c", *best, "scratch")]
    assert all(r.who is None for r in whole.history if r.stage != "race")


def test_the_first_rung_is_the_stage_head(
    whole: FinetuneResult, few_digits: ImageDataset, entrants: list[Entrant]
) -> None:
    for entrant, row in list(zip(entrants, whole.race, strict=True))[:4]:
        assert isinstance(entrant.source, Supernet)
        net = entrant.source.with_head(10, generator=torch.Generator().manual_seed(0))
        recalibrate(net, few_digits.train)
        fit_head(net, few_digits.train)
        assert evaluate(net, few_digits.val) == pytest.approx(row["rungs"][0]["val_accuracy"], abs=2 / 60)


def test_the_winner_goes_on_from_its_own_step(few_digits: ImageDataset, entrants: list[Entrant]) -> None:
    """It makes the steps that it would make alone, no more and no others."""
    racers = [entrants[2], entrants[4]]
    raced = run(few_digits, racers, budget=Budget(epochs=3))
    alone = finetune(few_digits, racers[0].source, recipe=RECIPE, budget=Budget(epochs=3), device="cpu")
    assert raced.source == "learned"
    assert raced.search["steps"] == alone.search["steps"]
    # Epochs of the search that are recorded after the race are those that were left.
    searched = [r for r in raced.history if r.stage == "search"]
    later = [r for r in alone.history if r.stage == "search"][1:]
    assert [r.loss for r in searched] == [r.loss for r in later]
    assert [r.val_accuracy for r in searched] == [r.val_accuracy for r in later]


def test_a_race_repeats_to_the_bit(
    few_digits: ImageDataset, entrants: list[Entrant], whole: FinetuneResult
) -> None:
    again = run(few_digits, entrants)
    assert same(whole, again)
    assert [{k: v for k, v in row.items() if k != "rungs"} for row in again.race] == [
        {k: v for k, v in row.items() if k != "rungs"} for row in whole.race
    ]


@pytest.fixture(scope="module")
def uninterrupted(few_digits: ImageDataset, entrants: list[Entrant]) -> FinetuneResult:
    return run(few_digits, entrants[2:], budget=Budget(epochs=3))


@pytest.mark.parametrize("stage", ["race", "search", "derived"])
def test_an_interrupted_race(
    stage: str,
    tmp_path: Path,
    few_digits: ImageDataset,
    entrants: list[Entrant],
    uninterrupted: FinetuneResult,
) -> None:
    racers = entrants[2:]

    def kill(record: EpochRecord) -> None:
        if record.stage == stage:
            raise KilledError

    with pytest.raises(KilledError):
        run(few_digits, racers, budget=Budget(epochs=3), folder=tmp_path, on_epoch=kill)
    assert (tmp_path / CHECKPOINT).exists() == (stage != "race")
    options: dict[str, Any] = {"budget": Budget(epochs=3), "folder": tmp_path, "resume": True}
    if stage == "race":  # nothing is kept before it ends
        with pytest.raises(ResumeError, match="leave out --resume"):
            run(few_digits, racers, **options)
        return
    with pytest.raises(ResumeError, match="another candidates"):
        run(few_digits, entrants[1:], **options)
    told: list[str] = []
    resumed = run(few_digits, racers, on_winner=told.append, **options)
    assert same(uninterrupted, resumed) and resumed.race[0]["won"] and told == [resumed.source]


def test_limits_hold_for_all(few_digits: ImageDataset, entrants: list[Entrant]) -> None:
    wide = replace(CONFIG, hyperparameters={"channels": 16, "stem_stride": 2})
    large = Entrant("large", Supernet.create(wide, generator=torch.Generator()), RECIPE)
    limits = Limits(max_params=5_000)
    result = run(few_digits, [large, entrants[2]], limits=limits, budget=Budget(epochs=1))
    assert result.params <= 5_000 and result.source == "learned"
    assert {"id": "large", "rungs": [], "won": False, "out": "limits"} in result.race
    with pytest.raises(InfeasibleError):
        run(few_digits, [large, replace(large, id="too")], limits=limits)


def test_a_source_that_knows_nothing_loses_to_the_guard(
    digits: ImageDataset, few_digits: ImageDataset
) -> None:
    """Dead features: a head has nothing to go by, while fresh weights at least differ between images."""
    dead = dead_supernet()
    frozen = replace(RECIPE, weight_lr=1e-12)
    result = run(few_digits, [Entrant("dead", dead, frozen), Entrant("scratch", CONFIG, RECIPE)])
    assert result.source == "scratch"
    assert result.search["guards"]["entropy-floor"] == {"applied": False, "why": "the alphas are fresh"}


def test_a_race_keeps_to_its_share(
    few_digits: ImageDataset, entrants: list[Entrant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "LEAST_HEADS", 20)
    result = run(few_digits, entrants, budget=Budget(seconds=400), timer=Ticks())
    races = [r for r in result.history if r.stage == "race"]
    assert len(races) == 7
    assert races[-1].seconds <= RACE_SHARE * 400 + 60
    assert min(r.seconds for r in result.history if r.stage == "derived") < 400
    # Without time for the second rung the best head wins; without time for a second head, the best match.
    for seconds, count in ((50, 4), (14, 1)):
        few = run(few_digits, entrants, budget=Budget(seconds=seconds), timer=Ticks())
        heads = [r for r in few.history if r.stage == "race"]
        assert len(heads) <= count
        assert few.source == max(heads, key=lambda r: r.val_accuracy).who
        assert {row["out"] for row in few.race if not row["rungs"]} == {"time"}


def test_the_report_tells_of_the_race(whole: FinetuneResult, tmp_path: Path) -> None:
    report = report_json(whole)
    assert [row["id"] for row in report["race"]] == ["a", "b", "learned", "c", "scratch"]
    page = report_html(whole)
    assert "The race of sources" in page and "behind after some training" in page


def test_a_heat_leaves_those_that_are_not_clearly_behind(
    digits: ImageDataset, entrants: list[Entrant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "HEAT_IMAGES", 300)
    monkeypatch.setattr(racing, "HEAT_KEPT", 2)
    seen: list[int] = []
    begin_on = racer.begin_on

    def counted(network: Supernet, train: Split, val: Split, *, norms: Norms | None) -> Beginning:
        seen.append(len(train))
        return begin_on(network, train, val, norms=norms)

    monkeypatch.setattr(racer, "begin_on", counted)
    result = run(digits, entrants, budget=Budget(epochs=1))
    rows = {row["id"]: row for row in result.race}
    heat = {id: row["rungs"][0]["val_accuracy"] for id, row in rows.items() if id != "scratch"}
    assert {row["rungs"][0]["rung"] for id, row in rows.items() if id != "scratch"} == {"heat"}
    # A stratified part for all four, then every image for those that are left.
    kept = [id for id, row in rows.items() if any(rung["rung"] == "head" for rung in row["rungs"])]
    assert abs(seen[0] - 300) <= 10 and seen == [seen[0]] * 4 + [len(digits.train)] * len(kept)
    best = max(heat.values())
    error = (best * (1 - best) / len(digits.val)) ** 0.5
    near = sorted(
        (id for id in heat if heat[id] >= best - worth.CLEAR_ERRORS * error), key=lambda i: -heat[i]
    )
    assert set(kept) == set(near[:2]) and {rows[id]["out"] for id in set(heat) - set(kept)} == {"heat"}
    assert result.source in {*kept, "scratch"}
    page = report_html(result)
    assert "on a few images" in page and "behind on a few images" in page


def test_a_heat_leaves_one_where_no_time_is_for_training(
    digits: ImageDataset, entrants: list[Entrant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "HEAT_IMAGES", 300)
    result = run(digits, entrants, budget=Budget(seconds=100), timer=Ticks())
    heat = {row["id"]: row["rungs"][0]["val_accuracy"] for row in result.race if row["rungs"]}
    fitted = [row["id"] for row in result.race if [r["rung"] for r in row["rungs"]] == ["heat", "head"]]
    assert fitted == [result.source] and heat[result.source] == max(heat.values())
    assert {row["out"] for row in result.race if row["id"] in set(heat) - {result.source}} == {"heat"}
    assert result.race[-1]["id"] == "scratch" and result.race[-1]["out"] == "time"


def test_the_guard_is_trained_no_longer_than_the_others(
    few_digits: ImageDataset, entrants: list[Entrant], learned: Supernet
) -> None:
    """A search after a transfer is over once it has had its share of the budget."""
    brief = replace(entrants[2], recipe=replace(RECIPE, search_share=0.05))
    result = run(few_digits, [brief, entrants[4]], budget=Budget(seconds=2000), timer=Ticks())
    rungs = {row["id"]: {rung["rung"]: rung["seconds"] for rung in row["rungs"]} for row in result.race}
    assert set(rungs["scratch"]) == {"training"}
    # Its share is a hundred seconds; the race would have given each two hundred and more.
    assert 0 < rungs["scratch"]["training"] <= rungs["learned"]["training"] + 60 < 200
