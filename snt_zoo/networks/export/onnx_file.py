"""ONNX files: how one is made of a network, and how one is run.

The resize and the network are exported apart and joined, so that the network alone can be made of small
integers (`snt_zoo.networks.export.quantisation`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snt_zoo.errors import ExportError
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.export.deployed import INPUT, OUTPUT, Core, Resized

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 18
"""The one that PyTorch's exporter writes by itself: onnxruntime reads it since 1.14 (February 2023)."""

_EXAMPLES = 2  # images: a batch of one would be taken for what is always so

Array = NDArray[Any]


def needs_onnx() -> None:
    """Raise `ExportError` unless what an export needs is installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"an export to ONNX needs the package {error.name}: pip install 'snt-zoo[export]'"
        ) from error


def pixel_names(sizes: Sequence[int]) -> list[str]:
    """What the resized images are called, between both parts."""
    return [f"pixels_{size}" for size in sizes]


def core_to_onnx(model: Model, opset: int = OPSET) -> ModelProto:
    """The network alone: float32 pixels of each size, named by `pixel_names`, to `OUTPUT`.

    Raises:
        ExportError: PyTorch cannot express it in that opset.
    """
    core = Core(model)
    pixels = tuple(torch.zeros(_EXAMPLES, 3, size, size) for size in core.sizes)
    batch = torch.export.Dim("batch")
    return _to_onnx(
        core, pixels, {"pixels": tuple({0: batch} for _ in pixels)}, pixel_names(core.sizes), [OUTPUT], opset
    )


@functools.lru_cache(maxsize=4)
def resize_to_onnx(sizes: tuple[int, ...], opset: int = OPSET) -> ModelProto:
    """What comes before it: `INPUT` to float32 pixels of each size; not to be changed."""
    image = torch.zeros(_EXAMPLES, 61, 47, 3, dtype=torch.uint8)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    return _to_onnx(Resized(sizes), (image,), {"image": shape}, [INPUT], pixel_names(sizes), opset)


def joined(resize: ModelProto, core: ModelProto, metadata: Mapping[str, str]) -> ModelProto:
    """Both parts as one file that says what it is."""
    from onnx import checker, compose, helper

    names = [each.name for each in core.graph.input]
    first, second = (
        compose.add_prefix(part, prefix, rename_inputs=False, rename_outputs=False)
        for part, prefix in ((resize, "resize/"), (core, "network/"))
    )
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    whole = compose.merge_models(first, second, io_map=[(name, name) for name in names])
    _shorten_names(whole.graph)
    whole.graph.name = "snt_zoo"
    whole.producer_name = "snt-zoo"
    helper.set_model_props(whole, dict(metadata))
    checker.check_model(whole)
    return whole


class _Branches(nn.Module):
    """Modules side by side, each with an input and an output of its own."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(module(x) for module, x in zip(self.each, inputs, strict=True))


def branches_to_onnx(modules: Sequence[nn.Module], shapes: Sequence[tuple[int, ...]]) -> list[bytes]:
    """Modules as files for one image, by one pass of the exporter: many passes take long.

    Args:
        modules: each of one input and one output.
        shapes: of the inputs, without the batch.
    """
    needs_onnx()
    from onnx.utils import Extractor

    inputs, outputs = ([f"{name}_{i}" for i in range(len(modules))] for name in "xy")
    arguments = tuple(torch.zeros(1, *shape) for shape in shapes)
    extractor = Extractor(_to_onnx(_Branches(modules), arguments, None, inputs, outputs, OPSET))
    pairs = zip(inputs, outputs, strict=True)
    return [extractor.extract_model([x], [y]).SerializeToString() for x, y in pairs]


def chained(files: Sequence[bytes]) -> bytes:
    """Files of one input and one output, each of which takes what the one before gives, as one."""
    from onnx import compose, load_model_from_string

    parts = [compose.add_prefix(load_model_from_string(file), f"{i}/") for i, file in enumerate(files)]
    whole = parts[0]
    for part in parts[1:]:
        link = (whole.graph.output[0].name, part.graph.input[0].name)
        whole = compose.merge_models(whole, part, io_map=[link])
    return bytes(whole.SerializeToString())


class OnnxNetwork:
    """An ONNX file that runs on the CPU, by onnxruntime.

    Args:
        file: its bytes, or where it lies.
        threads: that it may use; all cores by default.

    Raises:
        ExportError: onnxruntime refuses it.
    """

    def __init__(self, file: bytes | Path, *, threads: int | None = None) -> None:
        needs_onnx()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        source = file if isinstance(file, bytes) else str(file)
        try:
            self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common base
            raise ExportError(f"onnxruntime cannot load the network, name another file: {error}") from error
        self.inputs = [each.name for each in self.session.get_inputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, *arrays: Array) -> Array:
        """The first output for the inputs, in order."""
        out: Array = self.session.run(None, dict(zip(self.inputs, arrays, strict=True)))[0]
        return out


def _to_onnx(
    module: nn.Module,
    args: tuple[Tensor, ...],
    shapes: Mapping[str, Any] | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
) -> ModelProto:
    needs_onnx()
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                args,
                dynamo=True,
                dynamic_shapes=None if shapes is None else dict(shapes),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises errors of its own, and those of what it traces
        raise ExportError(
            f"PyTorch cannot write the network with opset {opset} ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason'}): try --opset {OPSET}"
        ) from error
    assert program is not None
    made: ModelProto = program.model_proto
    return _stripped(made)


def _shorten_names(graph: GraphProto) -> None:
    """Number what is within: a tenth of a small network's file are names of what was traced."""
    kept = {each.name for each in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {}

    def of(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"{len(short):x}")

    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            renamed = [of(name) for name in names]
            del names[:]
            names.extend(renamed)
    for tensor in graph.initializer:
        tensor.name = of(tensor.name)
    del graph.value_info[:]


def _stripped(model: ModelProto) -> ModelProto:
    """Without what the exporter notes of our source with each node: it is most of a small network's file."""
    for graph_or_function in (model.graph, *model.functions):
        for node in graph_or_function.node:
            del node.metadata_props[:]
            node.doc_string = ""
        del graph_or_function.value_info[:]
        del graph_or_function.metadata_props[:]
        graph_or_function.doc_string = ""
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes of its progress."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def as_arrays(pixels: Sequence[Tensor]) -> list[Array]:
    """Pixels uint8 in each size as the network alone takes them."""
    return [np.ascontiguousarray(part.numpy().astype(np.float32)) for part in pixels]
