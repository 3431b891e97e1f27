from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.registry.own_outcomes import SWITCH, keep_outcomes
from snt_zoo.registry.predicting import levels, own_predictor, predictor_of
from snt_zoo.zoo import Zoo
from tests.encoders.test_outcomes import ONE
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import repository
from tests.registry.hub.state import Hub
from tests.registry.making import sketch


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


def test_what_is_on_the_hub_is_ranked_by_what_is_predicted_without_its_weights(
    hub: Hub, zoo: Zoos, tmp_path: Path
) -> None:
    predictor = shipped_predictor()
    assert predictor is not None
    home, backbone = zoo(), predictor.backbone
    for seed in range(3):
        sketches = [sketch(seed=seed, backbone=backbone)]
        hub.seed(f"bob/s{seed}", repository(tmp_path / "made", seed, sketches=sketches, backbone=backbone))
    home.sync()
    found = home.query(sketch(seed=1, backbone=backbone), k=9, hub=True, by="accuracy")
    said = [match.predicted_accuracy or 0.0 for match in found]
    assert len(found) == 3 and all(match.remote for match in found) and not home.registry.list()
    assert said == sorted(said, reverse=True) and said[-1] > 0
    assert found[0].id.startswith("s1")  # all else is alike, and it saw the same data
