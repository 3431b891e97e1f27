"""A network of small integers is small, and says nearly the same."""

from __future__ import annotations

import numpy as np
import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.networks.export.onnx_file import OnnxNetwork, core_to_onnx
from snt_zoo.networks.export.quantisation import describe, first_layers, quantised
from snt_zoo.search.budget import Budget
from tests.conftest import TINY, MakeSupernet
from tests.search.runs import finetune

pytest.importorskip("onnxruntime")


def test_int8_says_nearly_the_same(make_supernet: MakeSupernet, few_digits: ImageDataset) -> None:
    model = finetune(few_digits, make_supernet(TINY["mobile"]), budget=Budget(epochs=1)).model
    core = core_to_onnx(model)
    pixels = few_digits.train.tensor(16).numpy().astype(np.float32)
    batches = [{"pixels_16": pixels[start : start + 16]} for start in range(0, 128, 16)]
    small = quantised(core, batches)
    kinds = {node.op_type for node in small.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    weights = [tensor for tensor in small.graph.initializer if tensor.data_type == 3]  # int8
    convolutions = sum(node.op_type == "Conv" for node in small.graph.node)
    assert len(weights) >= convolutions > 0
    scales = {tensor.name: tensor.dims for tensor in small.graph.initializer if "scale" in tensor.name}
    assert any(dims and dims[0] > 1 for dims in scales.values())  # one for each channel
    asked = few_digits.test.tensor(16).numpy().astype(np.float32)
    exact, rounded = (OnnxNetwork(part.SerializeToString())(asked) for part in (core, small))
    assert not np.array_equal(exact, rounded)
    assert np.abs(exact - rounded).mean() < 0.05


def test_the_first_layers_stay_as_they_are() -> None:
    from onnx import TensorProto, helper

    def network(*sizes: int) -> object:
        nodes = [
            helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"c{i}")
            for i in range(len(sizes))
        ]
        weights = [
            helper.make_tensor(f"w{i}", TensorProto.FLOAT, [n], [0.0] * n) for i, n in enumerate(sizes)
        ]
        return helper.make_model(helper.make_graph(nodes, "g", [], [], weights))

    assert first_layers(network(1, 1, 1, 1, 1, 1, 1000)) == ["c0", "c1", "c2", "c3"]  # type: ignore[arg-type]
    assert first_layers(network(1, 100, 1, 1000)) == ["c0"]  # type: ignore[arg-type]
    assert first_layers(network(100, 1000)) == []  # type: ignore[arg-type]


def test_it_is_described() -> None:
    assert describe({"float32": 0.9, "int8": 0.89})["accuracy"] == {"float32": 0.9, "int8": 0.89}
