"""Programs of ExecuTorch: `.pte`, for phones and other small machines.

The runtime plans its memory ahead and wants fixed shapes: so the program takes one image that is resized
already, and the resize is left to whoever decodes it. The kernels are those of XNNPACK, for any processor.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from snt_zoo.errors import ExportError, first_line
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.export.deployed import Core, Resized

ABOUT = "snt_zoo"
"""The method of a program that gives what it is, as JSON."""


class _Sized(Core):
    """Images of each size, as they are decoded and resized: what XNNPACK wants lies channel by channel."""

    def forward(self, *images: Tensor) -> Tensor:
        """For each of `sizes` uint8 ``1 x size x size x 3``, to ``1 x K``."""
        return super().forward(*(image.permute(0, 3, 1, 2).float().contiguous() for image in images))

    def answer(self, network: DerivedModel, x: Tensor) -> Tensor:
        out: Tensor = network.head(network.trunk(x))  # `features` would change the memory's layout
        return out


def to_executorch(model: Model, metadata: Mapping[str, str]) -> bytes:
    """A network as a `.pte`: uint8 ``1 x size x size x 3`` of each size to probabilities ``1 x K``.

    Raises:
        ExportError: ExecuTorch is not there, or cannot express the network.
    """
    try:
        with _quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise ExportError(
            f"an export for ExecuTorch needs the package {error.name}: pip install 'snt-zoo[mobile]'"
        ) from error
    core = _Sized(model).eval().to(memory_format=torch.contiguous_format)
    images = tuple(torch.zeros(1, size, size, 3, dtype=torch.uint8) for size in core.sizes)
    try:
        with _quiet(), torch.no_grad():
            program = to_edge_transform_and_lower(
                torch.export.export(core, images),
                partitioner=[XnnpackPartitioner()],
                constant_methods={ABOUT: json.dumps(dict(metadata))},
            ).to_executorch()
    except Exception as error:  # of whatever it traces
        raise ExportError(
            f"ExecuTorch cannot express the network ({type(error).__name__}: {first_line(error)}): export it "
            "with --format onnx"
        ) from error
    finally:
        model.placed("cpu")  # in its own layout again
    return bytes(program.buffer)


def run_executorch(file: bytes, model: Model) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What a `.pte` gives for uint8 ``batch x h x w x 3``, image by image, resized as the network has it."""
    with _quiet():
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(file).load_method("forward")
    resized = Resized(Core(model).sizes)

    def run(images: NDArray[Any]) -> NDArray[Any]:
        answers = []
        for image in torch.split(torch.from_numpy(images), 1):
            pixels = [each.permute(0, 2, 3, 1).byte().contiguous() for each in resized(image)]
            answers.append(method.execute(pixels)[0].clone())
        out: NDArray[Any] = torch.cat(answers).numpy()
        return out

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, and without what its libraries write straight to the standard error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
