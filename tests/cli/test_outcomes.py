"""`snt-zoo outcomes`: what runs on this machine came to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo.registry.own_outcomes import SWITCH, keep_outcomes
from tests.encoders.test_outcomes import ONE

from .conftest import answer, invoke


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


def test_outcomes_are_shown_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer("outcomes", "--home", tmp_path) == {"outcomes": [], "used": True, "removed": None}
    keep_outcomes(tmp_path, [replace(ONE, expected=0.4), replace(ONE, method="finetune", budget=60.0)])
    found = answer("outcomes", "--home", tmp_path)["outcomes"]
    assert [row["expected"] for row in found] == [0.4, None]
    text = invoke("outcomes", "--home", tmp_path).stdout
    assert "new head" in text and "60 s" in text and "40.0 %" in text
    monkeypatch.setenv(SWITCH, "0")
    assert "none is used" in invoke("outcomes", "--home", tmp_path).stdout
    assert answer("outcomes", "--forget", "--home", tmp_path)["removed"] == 2
