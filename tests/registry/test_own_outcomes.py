from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.registry.own_outcomes import (
    FILE,
    SWITCH,
    forget_outcomes,
    keep_outcomes,
    outcomes_of_run,
    own_outcomes,
    read_all,
)
from snt_zoo.zoo import Zoo


@pytest.fixture
def made(zoo: Zoo) -> list[Outcome]:
    first, second = zoo.list()[:2]
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


def test_a_run_gives_the_heads_of_its_race_and_its_end(made: list[Outcome], zoo: Zoo) -> None:
    head, end = made
    assert (head.method, head.val, head.expected, head.budget) == ("head", 0.5, 0.4, 0.0)
    assert (end.method, end.accuracy, end.budget, end.bundle) == ("finetune", 0.7, 60.0, zoo.list()[0].id)
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
