"""ONNX files of every kind of network answer as it does, and hold what they should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snt_zoo.errors import ExportError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import Model, input_sizes
from snt_zoo.networks.export.agreement import check, shipped_images
from snt_zoo.networks.export.deployed import description
from snt_zoo.networks.export.onnx_file import (
    OnnxNetwork,
    core_to_onnx,
    joined,
    needs_onnx,
    resize_to_onnx,
)
from tests.conftest import TINY, MakeSupernet
from tests.networks.export.making import ensemble, loaded

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", [*TINY, "ensemble"])
def test_a_file_answers_as_the_network_does(name: str, make_supernet: MakeSupernet, tmp_path: Path) -> None:
    model: Model = (
        ensemble(make_supernet)
        if name == "ensemble"
        else DerivedModel.inherit(make_supernet(TINY[name])).eval()
    )
    given = loaded(model)
    sizes = input_sizes(model)
    whole = joined(resize_to_onnx(sizes), core_to_onnx(model), description(given))
    path = tmp_path / "model.onnx"
    path.write_bytes(whole.SerializeToString())
    network = OnnxNetwork(path, threads=1)
    found = check(network, given, shipped_images())
    assert (found.top, found.largest < 1e-5) == (1, True)
    assert network.inputs == ["image"]
    assert network.metadata == description(given)
    (image,) = whole.graph.input
    shape = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert shape == ["batch", "height", "width", 3]
    (answer,) = whole.graph.output
    assert answer.name == "probabilities"
    # Nothing of our source, and no path, is in the file.
    assert b"snt_zoo/" not in whole.SerializeToString()


def test_what_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"snt-zoo\[export\]"):
        needs_onnx()


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ExportError, match="cannot load"):
        OnnxNetwork(b"nothing")
