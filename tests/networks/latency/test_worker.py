"""One engine in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.export.onnx_file import core_to_onnx
from snt_zoo.networks.latency.worker import measured, peak_bytes
from snt_zoo.networks.model_folder import model_files, write_into
from tests.conftest import TINY, MakeSupernet

pytest.importorskip("onnxruntime")


def test_each_engine_runs_the_network(make_supernet: MakeSupernet, tmp_path: Path) -> None:
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval()
    names = [str(i) for i in range(10)]
    write_into(tmp_path / "model", model_files(model, class_names=names, source="scratch", accuracy={}))
    (tmp_path / "core.onnx").write_bytes(core_to_onnx(model).SerializeToString())
    common: dict[str, Any] = {"threads": 1, "batch": 3, "side": 20, "seconds": 0.05}
    for task in (
        {"engine": "torch", "part": "whole", "path": str(tmp_path / "model")},
        {"engine": "torch", "part": "network", "path": str(tmp_path / "model")},
        {"engine": "onnxruntime", "part": "network", "path": str(tmp_path / "core.onnx")},
    ):
        found = measured(task | common)
        assert found["images_per_second"] == pytest.approx(3 / found["p50"])
        assert 0 < found["peak_bytes"] <= (peak_bytes() or 0)
