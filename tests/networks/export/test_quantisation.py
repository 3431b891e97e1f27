"""A network of small integers is small, and says nearly the same."""

from __future__ import annotations

import numpy as np
import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.networks.export.onnx_file import OnnxNetwork, core_to_onnx
from snt_zoo.networks.export.quantisation import describe, quantised
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


def test_it_is_described() -> None:
    assert describe({"float32": 0.9, "int8": 0.89})["accuracy"] == {"float32": 0.9, "int8": 0.89}
