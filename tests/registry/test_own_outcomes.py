from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.own_outcomes import (
    FILE,
    SWITCH,
    forget_outcomes,
    keep_outcomes,
    outcomes_of_run,
    own_outcomes,
    read_all,
)


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


def _record(name: str) -> Record:
    return Record(
        id=f"{name}-01234567",
        name=name,
        digest="01234567" * 8,
        space="nas_bench_201",
        params=5,
        macs=7,
        sources=("a",),
        tags=(),
        licence="MIT",
        supernet_params=9,
        val_accuracy=None,
        test_accuracy=None,
        backbone="b",
        encoder="e",
        added_at="",
        path=Path("nowhere"),
    )


@pytest.fixture
def made() -> list[Outcome]:
    first, second = _record("first"), _record("second")
    race = [
        {"id": first.id, "val_accuracy": 0.5},
        {"id": second.id, "val_accuracy": None},
        {"id": "scratch", "val_accuracy": 0.1},
    ]
    finished = {"source": first.id, "genotype": "{}", "params": 9, "macs": 8, "budget": 60.0, "seed": 0}
    return outcomes_of_run(
        {first.id: first, second.id: second},
        {first.id: 0.4},
        target="photos",
        sketch=b"sketch",
        classes=4,
        images=(100, 20, 30),
        race=race,
        finished={**finished, "val": 0.8, "test": 0.7},
    )


def test_a_run_gives_the_heads_of_its_race_and_its_end(made: list[Outcome]) -> None:
    head, end = made
    assert (head.method, head.val, head.expected, head.budget) == ("head", 0.5, 0.4, 0.0)
    assert (end.method, end.accuracy, end.budget, end.bundle) == ("finetune", 0.7, 60.0, "first-01234567")
    assert head.fingerprint == end.fingerprint


def test_they_are_kept_until_they_are_forgotten(made: list[Outcome], tmp_path: Path) -> None:
    keep_outcomes(tmp_path, made)
    assert list(own_outcomes(tmp_path)) == made and len(read_all(tmp_path)) == 2
    assert (
        forget_outcomes(tmp_path) == 2
        and list(own_outcomes(tmp_path)) == []
        and forget_outcomes(tmp_path) == 0
    )


def test_they_can_be_switched_off(
    made: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_outcomes(tmp_path, made[:1])
    monkeypatch.setenv(SWITCH, "0")
    keep_outcomes(tmp_path, made)
    assert list(own_outcomes(tmp_path)) == [] and len(read_all(tmp_path)) == 1


def test_a_registry_that_cannot_be_written_to_goes_without(made: list[Outcome], tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.warns(UserWarning, match="was not kept"):
        keep_outcomes(tmp_path, made)
