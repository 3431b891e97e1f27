"""`snt-zoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke, reason

pytest.importorskip("onnxruntime")


def test_export_answers_with_what_it_wrote(finetuned: tuple[Path, Any], photos: Path, tmp_path: Path) -> None:
    out, _ = finetuned
    file = tmp_path / "photos.onnx"
    found = answer("export", out, "--out", file, "--data", photos)
    assert found["out"] == str(file)
    assert found["bytes"] == file.stat().st_size
    assert found["same_class"] == 1
    assert found["largest_difference"] < 1e-4
    assert found["accuracy"] == {}
    shown = invoke("export", out, "--out", file).stdout
    assert "photos.onnx" in shown
    assert "100.0 %" in shown


def test_export_says_what_it_needs(finetuned: tuple[Path, Any], tmp_path: Path) -> None:
    out, _ = finetuned
    assert "--data" in reason(invoke("export", out, "--int8"))
    assert "MODEL_DIR" in reason(invoke("export", tmp_path))
    assert "18<=x<=23" in reason(invoke("export", out, "--opset", 5), 2)
