"""`snt-zoo encoder`: measure, train, evaluate and show."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import SAMPLES

from .conftest import answer, invoke, reason


def test_measure_appends_and_measures_nothing_twice(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "outcomes.jsonl"
    data = SAMPLES / "textile_sim.npz"
    first = answer("encoder", "measure", data, "--out", out, "--home", home)
    assert first["cells"] > 1 and out.is_file()
    assert answer("encoder", "measure", data, "--out", out, "--home", home)["cells"] == 0
    assert "two datasets" in reason(
        invoke("encoder", "train", data, "--outcomes", out, "--out", tmp_path / "p", "--home", home)
    )


def test_the_predictor_that_ships_is_shown_and_evaluated(home: Path) -> None:
    card = answer("encoder", "show", "--home", home)
    assert card["outcomes"] > 100 and card["backbone"] and card["supernets"]
    found = answer("encoder", "evaluate", "--home", home)
    assert 0 < found["mae_points"] < 25 and 0.75 <= found["coverage"] <= 1
    result = invoke("encoder", "evaluate", "--home", home)
    assert result.exit_code == 0 and "points of accuracy" in result.stdout


def test_a_file_that_is_no_predictor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"nothing")
    assert "p" in reason(invoke("encoder", "show", "--predictor", tmp_path / "p"))
