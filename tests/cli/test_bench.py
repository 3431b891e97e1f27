"""`snt-zoo bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke, reason

pytest.importorskip("onnxruntime")


def test_bench_measures_a_model(finetuned: tuple[Path, Any], tmp_path: Path) -> None:
    out, _ = finetuned
    found = answer("bench", out, "--threads", 1, "--seconds", 0.02)
    assert {row["engine"] for row in found["measured"]} == {"torch", "onnxruntime"}
    assert "p50 ms" in invoke("bench", out, "--threads", 1, "--seconds", 0.02).stdout
    assert "does not exist" in reason(invoke("bench", tmp_path / "none"), 2)
