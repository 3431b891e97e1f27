"""An exported network in small integers: int8 weights for each channel, int8 between the layers.

Static quantisation: the range of what goes from layer to layer is measured on training images. Dynamic
quantisation would leave convolutions in float32.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snt_zoo.errors import ExportError, first_line
from snt_zoo.networks.export.onnx_file import Array, needs_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION_IMAGES = 256
CALIBRATION_BATCH = 16


LAYERS = ["Conv", "Gemm", "MatMul", "Clip", "Relu"]
"""What becomes int8. Sums and pools between them stay float32: with them a derived DARTS network took 0.63 ms
in place of 0.49. Without the activations the range of a layer was that before them (decision 129)."""

FLOAT_LAYERS, FLOAT_SHARE = 4, 0.01
"""Convolutions after the input that stay float32, and the share of all weights that these may be at most.

Their channels have very different ranges. On photographs a MobileNetV2's probabilities were off by 0.049 in
the mean, by 0.029 with two such layers and by 0.017 with four, for 3 KB of 2.6 MB.
"""


def quantised(core: ModelProto, batches: Iterable[Mapping[str, Array]]) -> ModelProto:
    """A network with quantise and dequantise nodes around its convolutions and products (QDQ).

    Args:
        core: the network alone, as `core_to_onnx` gives it.
        batches: inputs by name: training images.

    Raises:
        ExportError: onnxruntime cannot quantise it.
    """
    needs_onnx()
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> Mapping[str, Array] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory(prefix="snt-zoo-") as folder, _quiet():
        names = ("float", "prepared", "int8")
        paths = {name: Path(folder) / f"{name}.onnx" for name in names}
        onnx.save(core, paths["float"])
        try:
            # Batch norms become part of the convolutions before them, or each would stay float.
            quant_pre_process(paths["float"], paths["prepared"], skip_symbolic_shape=True)
            quantization.quantize_static(
                paths["prepared"],
                paths["int8"],
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                nodes_to_exclude=first_layers(onnx.load(paths["prepared"])),
                op_types_to_quantize=LAYERS,
                extra_options={
                    "QuantizeBias": False,  # onnxruntime does it when it loads the file
                    "CalibMovingAverage": True,  # of the batches' ranges: a single pixel sets none
                },
            )
        except Exception as error:  # of many kinds
            raise ExportError(
                f"onnxruntime cannot quantise the network ({type(error).__name__}: {first_line(error)}): "
                "export it without --int8"
            ) from error
        return onnx.load(paths["int8"])


def first_layers(model: ModelProto) -> list[str]:
    """Names of the convolutions that stay float32: see `FLOAT_LAYERS`."""
    sizes = {each.name: math.prod(each.dims) for each in model.graph.initializer}
    depth: dict[str, int] = {}
    layers: list[tuple[int, str, int]] = []
    for node in model.graph.node:  # in the order in which they run
        inside = max((depth.get(name, 0) for name in node.input), default=0)
        if node.op_type == "Conv":
            layers.append((inside, node.name, sizes.get(node.input[1], 0)))
            inside += 1
        depth |= dict.fromkeys(node.output, inside)
    room = FLOAT_SHARE * sum(sizes.values())
    found = []
    for before, name, size in sorted(layers, key=lambda layer: layer[0]):
        room -= size
        if before >= FLOAT_LAYERS or room < 0:
            break
        found.append(name)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without its advice to prepare the network, which is prepared."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def describe(accuracy: Mapping[str, float]) -> dict[str, Any]:
    """What a file's metadata says of it."""
    return {
        "scheme": "int8, static, per channel",
        "calibration_images": CALIBRATION_IMAGES,
        "accuracy": dict(accuracy),
    }
