"""The race: who goes on, what is told of it, and that nothing of it is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.errors import DivergenceError, InfeasibleError, ResumeError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import Beginning, Norms, fit_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting import race as racing
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.race import RACE_SHARE, Head, best
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.run import EpochRecord
from tests.search.runs import CONFIG, RECIPE, KilledError, Ticks, dead_supernet, finetune, same_weights

TWO = Budget(epochs=2)


@pytest.fixture(scope="module")
def whole(few_digits: ImageDataset, candidates: list[Candidate]) -> FinetuneResult:
    return finetune(few_digits, candidates, budget=TWO)


def told(result: FinetuneResult) -> list[tuple[Any, ...]]:
    return [(r.stage, r.val_accuracy, r.loss, r.who) for r in result.history]


def untimed(result: FinetuneResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.race]


def same(left: FinetuneResult, right: FinetuneResult) -> bool:
    kept = same_weights(left.model, right.model) and same_weights(left.supernet, right.supernet)
    return kept and told(left) == told(right)


def test_every_candidate_has_a_head_and_the_best_goes_on(
    whole: FinetuneResult, few_digits: ImageDataset, candidates: list[Candidate]
) -> None:
    assert [row["id"] for row in whole.race] == [candidate.id for candidate in candidates]
    accuracies = {row["id"]: row["val_accuracy"] for row in whole.race}
    for candidate in candidates:
        assert isinstance(candidate.source, Supernet)
        net = candidate.source.with_head(10, generator=torch.Generator().manual_seed(0))
        recalibrate(net, few_digits.train)
        fit_head(net, few_digits.train)
        assert evaluate(net, few_digits.val) == pytest.approx(accuracies[candidate.id], abs=2 / 60)
    assert accuracies[whole.source] == max(accuracies.values())  # none of these is broader than another
    assert [row["id"] for row in whole.race if row["won"]] == [whole.source]
    assert {row["out"] for row in whole.race if not row["won"]} == {"behind"}
    assert sorted(r.who or "" for r in whole.history if r.stage == "race") == sorted(accuracies)
    assert whole.steps["supernet"] >= accuracies[whole.source]  # what the head could do is not lost


def head(id: str, seconds: float, macs: int | None, accuracy: float = 0.5, breadth: int = 1) -> Head:
    supernet = Supernet.create(CONFIG, generator=torch.Generator())
    candidate = Candidate.of(id, supernet, breadth=breadth, macs=macs)
    return Head(candidate, supernet, accuracy, "measured", seconds, images=100)


def test_the_pace_of_training_is_that_of_a_head_once_all_is_warm() -> None:
    first, second, large = head("a", 0.5, 3_000_000), head("b", 0.1, 2_000_000), head("c", 1.2, 24_000_000)
    heads = [first, second, large]
    assert racing.pace(first, heads) == pytest.approx(racing.PASS_COST * 0.15 / 100)
    assert racing.pace(second, heads) == pytest.approx(racing.PASS_COST * 0.1 / 100)
    assert racing.pace(large, heads) == pytest.approx(racing.PASS_COST * 1.2 / 100)
    assert racing.pace(head("d", 0.7, None), heads) == pytest.approx(racing.PASS_COST * 0.7 / 100)


def test_who_would_see_the_images_too_few_times_does_not_go_on(
    few_digits: ImageDataset, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {candidate.id: 0.001 for candidate in candidates}
    monkeypatch.setattr(racing, "pace", lambda head, heads: paces[head.candidate.id])
    unbound = finetune(few_digits, candidates, budget=TWO)
    paces[unbound.source] = 1.0  # 200 images, five times: 1,000 s
    budget = Budget(seconds=600)
    short = finetune(few_digits, candidates, budget=budget, timer=Ticks())
    assert {row["id"] for row in short.race if row["out"] == "slow"} == {unbound.source} != {short.source}
    paces.update(dict.fromkeys(paces, 1.0))  # nobody can: then all may
    none = finetune(few_digits, candidates, budget=budget, timer=Ticks())
    assert none.source == unbound.source and not {"slow"} & {row["out"] for row in none.race}


def test_the_winner_is_trained_as_it_would_be_alone(
    few_digits: ImageDataset, candidates: list[Candidate], whole: FinetuneResult
) -> None:
    winner = next(candidate for candidate in candidates if candidate.id == whole.source)
    alone = finetune(few_digits, [winner], budget=TWO)
    stages = ("search", "derived")
    assert [(r.loss, r.val_accuracy) for r in whole.history if r.stage in stages] == [
        (r.loss, r.val_accuracy) for r in alone.history if r.stage in stages
    ]
    assert whole.search["steps"] == alone.search["steps"] and alone.race == ()


def test_a_race_repeats_to_the_bit(
    few_digits: ImageDataset, candidates: list[Candidate], whole: FinetuneResult
) -> None:
    again = finetune(few_digits, candidates, budget=TWO)
    assert same(whole, again)
    assert untimed(again) == untimed(whole)


@pytest.mark.parametrize("stage", ["race", "search", "derived"])
def test_an_interrupted_race(
    stage: str, tmp_path: Path, few_digits: ImageDataset, candidates: list[Candidate], whole: FinetuneResult
) -> None:
    def kill(record: EpochRecord) -> None:
        if record.stage == stage:
            raise KilledError

    with pytest.raises(KilledError):
        finetune(few_digits, candidates, budget=TWO, folder=tmp_path, on_epoch=kill)
    assert (tmp_path / CHECKPOINT).exists() == (stage != "race")
    options: dict[str, Any] = {"budget": TWO, "folder": tmp_path, "resume": True}
    if stage == "race":  # nothing is kept before it ends
        with pytest.raises(ResumeError, match="leave out --resume"):
            finetune(few_digits, candidates, **options)
        return
    with pytest.raises(ResumeError, match="another candidates"):
        finetune(few_digits, candidates[1:], **options)
    names: list[str] = []
    resumed = finetune(few_digits, candidates, on_source=names.append, **options)
    assert same(whole, resumed) and names == [resumed.source]
    assert untimed(resumed) == untimed(whole)


def test_limits_hold_for_all(few_digits: ImageDataset, candidates: list[Candidate]) -> None:
    wide = replace(CONFIG, hyperparameters={"channels": 16, "stem_stride": 2})
    large = Candidate("large", Supernet.create(wide, generator=torch.Generator()), RECIPE)
    options: dict[str, Any] = {"limits": Limits(max_params=5_000), "budget": Budget(epochs=1)}
    result = finetune(few_digits, [large, candidates[2]], **options)
    assert result.params <= 5_000 and result.source == "learned"
    row = {
        "id": "large",
        "val_accuracy": None,
        "seconds": None,
        "licences": [],
        "won": False,
        "out": "limits",
    }
    assert row in result.race
    with pytest.raises(InfeasibleError):
        finetune(few_digits, [large, replace(large, id="too")], **options)


def test_a_source_that_knows_nothing_loses(few_digits: ImageDataset, candidates: list[Candidate]) -> None:
    dead = Candidate("dead", dead_supernet(), RECIPE, breadth=30)
    assert finetune(few_digits, [dead, candidates[2]], budget=Budget(epochs=1)).source == "learned"


@pytest.mark.parametrize(
    ("accuracies", "winner"),
    [
        ({"broad": 0.79, "narrow": 0.80, "one": 0.81}, "broad"),  # nobody is clearly ahead
        ({"broad": 0.60, "narrow": 0.80, "one": 0.81}, "narrow"),  # the broadest of those that are not behind
        ({"broad": 0.60, "narrow": 0.70, "one": 0.90}, "one"),
        ({"twin": 0.80, "one": 0.81}, "one"),  # of equally broad ones the better
    ],
)
def test_the_broadest_of_the_good_heads_goes_on(accuracies: dict[str, float], winner: str) -> None:
    breadth = {"broad": 30, "narrow": 5, "one": 1, "twin": 1}
    supernet = dead_supernet()
    heads = [
        Head(Candidate(id, supernet, RECIPE, breadth=breadth[id]), supernet, accuracy, "measured", 1.0, 100)
        for id, accuracy in accuracies.items()
    ]
    assert best(heads, images=300).candidate.id == winner
    # On enough images every difference is clear; the fewer there are, the broader the winner.
    assert best(heads, images=10**9).accuracy == max(accuracies.values())
    assert best(heads, images=2).candidate.breadth >= breadth[winner]


def test_a_race_keeps_to_its_share(
    few_digits: ImageDataset, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads take a few ticks of the clock each; one that is expected to end late is not begun."""
    whole = finetune(few_digits, candidates, budget=Budget(seconds=400), timer=Ticks())
    races = [r for r in whole.history if r.stage == "race"]
    assert len(races) == len(candidates) and races[-1].seconds <= RACE_SHARE * 400
    broad = [*candidates[:3], replace(candidates[3], breadth=30)]
    short = finetune(few_digits, broad, budget=Budget(seconds=14), timer=Ticks())
    assert short.source == broad[3].id  # known to be broad: it has a head before time is out
    assert {row["out"] for row in short.race if row["val_accuracy"] is None} == {"time"}
    # A dear one is left out by what the cheap ones took, where it would not end in time.
    known = [replace(candidate, macs=1000) for candidate in candidates[:3]]
    dear = replace(candidates[3], macs=10**6)
    row = finetune(few_digits, [*known, dear], budget=Budget(seconds=400), timer=Ticks()).race[3]
    assert (row["id"], row["out"]) == (dear.id, "time")


def test_many_images_are_not_all_looked_at_before_the_winner_is_known(
    digits: ImageDataset, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "IMAGES", 300)
    seen: list[int] = []
    begin_on = racing.begin_on

    def counted(network: Supernet, train: Split, val: Split, *, norms: Norms | None) -> Beginning:
        seen.append(len(train))
        return begin_on(network, train, val, norms=norms)

    monkeypatch.setattr(racing, "begin_on", counted)
    result = finetune(digits, candidates, budget=Budget(epochs=1))
    # A stratified part for all, then every image for the one that goes on.
    assert abs(seen[0] - 300) <= 10 and seen == [seen[0]] * len(candidates) + [len(digits.train)]
    assert [r.stage for r in result.history].count("head") == 1


def test_the_report_tells_of_the_race(whole: FinetuneResult) -> None:
    page = report_html(whole.to_json())
    assert "The race of sources" in page and "behind with a new head" in page and "goes on" in page


def overflowing(candidate: Candidate) -> Candidate:
    """The same with one weight in each convolution that is finite and too large."""
    assert isinstance(candidate.source, Supernet)
    source = candidate.source.with_head(10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in source.trunk.parameters():
            if parameter.dim() == 4:
                parameter[0] = 3e38
    return replace(candidate, source=source, breadth=99)


def test_one_whose_weights_overflow_is_out_and_the_others_race(
    few_digits: ImageDataset, candidates: list[Candidate], whole: FinetuneResult
) -> None:
    result = finetune(few_digits, [*candidates[:-1], overflowing(candidates[-1])], budget=TWO)
    rows = {row["id"]: row for row in result.race}
    assert result.source == whole.source
    assert rows["c"]["out"] == "diverged" and rows["c"]["val_accuracy"] is None and not rows["c"]["won"]
    assert "overflow" in report_html(result.to_json())
    with pytest.raises(DivergenceError, match="take another supernet"):
        finetune(few_digits, [overflowing(one) for one in candidates[:2]], budget=TWO)
    with pytest.raises(DivergenceError, match="take another supernet"):
        finetune(few_digits, [overflowing(candidates[0])], budget=TWO)
