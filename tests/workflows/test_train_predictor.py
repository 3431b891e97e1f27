from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.encoders.outcomes import read_outcomes
from snt_zoo.encoders.predictor_file import save_predictor
from snt_zoo.errors import ConfigError
from snt_zoo.workflows.measure import Plan, measure
from snt_zoo.workflows.train_predictor import open_predictor, train_predictor
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES

REFS = [str(SAMPLES / f"{name}.npz") for name in ("font_arabic", "icon_files", "textile_sim")]


def test_what_was_measured_makes_a_predictor(zoo: Zoo, tmp_path: Path) -> None:
    out = tmp_path / "outcomes.jsonl"
    names = ("nb201-font-thai", "nb201-icon-media", "nb201-textile-sim")
    measure(zoo.registry, [Plan(REFS, [zoo.show(name).id for name in names])], out)
    made = train_predictor(zoo.registry, REFS, read_outcomes(out))
    assert sorted(made.card["supernets"]) == sorted(names)
    assert made.card["datasets"] == ["font_arabic", "icon_files", "textile_sim"]
    # Three datasets, three supernets and the probe, but for the one that was trained on one of them.
    assert made.card["outcomes"] == 3 * 4 - 1
    kin = {"font_thai": "fonts", "font_arabic": "fonts"}
    assert train_predictor(zoo.registry, REFS, read_outcomes(out), parents=kin).card["outcomes"] == 3 * 4 - 2
    path = tmp_path / "predictor.safetensors"
    save_predictor(made, path)
    assert open_predictor(None, path).card == made.card
    assert open_predictor(tmp_path / "no-home", None).card != made.card  # the one that ships


def test_outcomes_of_one_dataset_are_too_few(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two datasets"):
        train_predictor(zoo.registry, REFS, read_outcomes(tmp_path / "none"))
