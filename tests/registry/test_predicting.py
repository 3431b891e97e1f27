from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.registry.own_outcomes import SWITCH, keep_outcomes
from snt_zoo.registry.predicting import levels, own_predictor, predictor_of
from snt_zoo.zoo import Zoo
from tests.encoders.test_outcomes import ONE


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


def test_what_did_better_than_expected_is_moved_and_few_outcomes_move_little() -> None:
    rows = [
        replace(ONE, fingerprint=f"{task}", digest=digest, val=val, val_images=500, expected=0.5)
        for task in range(6)
        for digest, val in (("good", 0.7), ("bad", 0.5))
    ]
    many, few = levels(rows), levels(rows[:2])
    assert many["good"] > few["good"] > 0 > few["bad"] > many["bad"]
    # A dataset that is harder than it looked says nothing of a supernet.
    assert levels([replace(ONE, val=0.2, expected=0.6)])[ONE.digest] == pytest.approx(0, abs=1e-9)
    assert levels([replace(ONE, expected=None), replace(ONE, method="finetune", expected=0.5)]) == {}


def test_outcomes_of_a_registry_move_its_predictions(tmp_path: Path, digits: ImageDataset) -> None:
    zoo = Zoo.open(tmp_path)
    sketch = zoo.sketch(digits)
    before = {match.id: match.predicted_accuracy for match in zoo.query(sketch, k=5)}
    better, *others = before
    rows = [
        replace(
            ONE, fingerprint=f"{task}", digest=zoo.show(id).digest[:16], val=val, val_images=500, expected=0.5
        )
        for task in range(6)
        for id, val in [(better, 0.9), *((other, 0.5) for other in others)]
    ]
    keep_outcomes(zoo.registry.home, rows)
    after = {match.id: match.predicted_accuracy for match in zoo.query(sketch, k=100)}
    assert after[better] > before[better] and all(after[other] < before[other] for other in others)


def test_a_registrys_own_predictor_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    own_predictor(tmp_path).write_bytes(b"not safetensors")
    with pytest.warns(UserWarning, match="left out"):
        found = predictor_of(tmp_path)
    assert found is predictor_of(tmp_path / "elsewhere")
