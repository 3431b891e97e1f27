"""An export is checked before it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.errors import ExportError
from snt_zoo.networks.export.onnx_file import OnnxNetwork
from snt_zoo.search.budget import Budget
from tests.conftest import TINY, MakeSupernet
from tests.search.runs import finetune

pytest.importorskip("onnxruntime")


@pytest.fixture
def saved(tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset) -> Path:
    result = finetune(few_digits, make_supernet(TINY["nas_bench_201"]), budget=Budget(epochs=1))
    return result.save(tmp_path / "model")


def test_a_file_is_written_where_it_should_be(saved: Path, few_digits: ImageDataset, tmp_path: Path) -> None:
    made = snt_zoo.export_model(saved, data=few_digits)
    assert made.path == saved / "model.onnx"
    assert made.size == made.path.stat().st_size
    assert (made.agreement.images, made.agreement.top) == (60, 1)
    assert not made.accuracy
    other = snt_zoo.export_model(saved, format="torch", out=tmp_path / "there" / "x.pt2")
    assert other.path.is_file()


def test_of_a_mismatch_nothing_is_left(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snt_zoo.networks.export.agreement.TOLERANCE", -1.0)
    before = sorted(saved.iterdir())
    with pytest.raises(ExportError, match="nothing was written"):
        snt_zoo.export_model(saved)
    assert sorted(saved.iterdir()) == before


def test_int8_is_measured_before_it_is_kept(saved: Path, few_digits: ImageDataset) -> None:
    made = snt_zoo.export_model(saved, data=few_digits, int8=True, max_drop=1.0)
    assert made.path.name == "model-int8.onnx"
    assert set(made.accuracy) == {"float32", "int8"}
    loaded = snt_zoo.load_model(saved)
    from snt_zoo.networks.evaluate import evaluate

    assert made.accuracy["float32"] == evaluate(loaded.model, few_digits.test)
    assert "int8" in OnnxNetwork(made.path).metadata["quantisation"]
    made.path.unlink()
    with pytest.raises(ExportError, match="--max-drop"):
        snt_zoo.export_model(saved, data=few_digits, int8=True, max_drop=-1.0)
    assert not made.path.exists()
    with pytest.raises(ExportError, match="--data"):
        snt_zoo.export_model(saved, int8=True)
