"""Both engines are measured, and an exported file by one."""

from __future__ import annotations

from pathlib import Path

import pytest

import snt_zoo
from snt_zoo.errors import ExportError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.workflows.bench import bench, summary
from tests.conftest import TINY, MakeSupernet

pytest.importorskip("onnxruntime")


def test_a_folder_and_a_file_are_measured(make_supernet: MakeSupernet, tmp_path: Path) -> None:
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval()
    names = [str(i) for i in range(10)]
    write_into(tmp_path / "model", model_files(model, class_names=names, source="scratch", accuracy={}))
    found = bench(tmp_path / "model", threads=1, batch=2, seconds=0.05)
    rows = found["measured"]
    engines = ("torch", "onnxruntime")
    assert [(row["engine"], row["part"]) for row in rows] == [
        (engine, part) for engine in engines for part in ("whole", "network")
    ]
    assert (found["threads"], found["batch"], found["side"]) == (1, 2, 16)
    assert all(row["p50"] > 0 for row in rows)
    memory = {row["engine"]: row["peak_bytes"] for row in rows}
    assert memory["onnxruntime"] < memory["torch"]  # PyTorch is not in its process
    assert len(list(summary(rows))) == 4

    file = snt_zoo.export_model(tmp_path / "model").path
    (row,) = bench(file, threads=1, seconds=0.05, side=50)["measured"]
    assert (row["engine"], row["part"]) == ("onnxruntime", "whole")
    (tmp_path / "other.onnx").write_bytes(b"no")
    with pytest.raises(ExportError):
        bench(tmp_path / "other.onnx", threads=1)
