"""Programs of `torch.export`: `.pt2`, which PyTorch loads without snt-zoo."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from snt_zoo.errors import ExportError, first_line
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.export.deployed import Deployed

METADATA = "snt_zoo.json"
"""Name of the extra file within a program that says what it is."""


def to_program(model: Model, metadata: Mapping[str, str]) -> bytes:
    """A network as a `.pt2`: uint8 ``batch x h x w x 3`` to probabilities ``batch x K``.

    Raises:
        ExportError: PyTorch cannot trace it.
    """
    names = ("batch", "height", "width")
    shape = {place: torch.export.Dim(name) for place, name in enumerate(names)}
    image = torch.zeros(2, 61, 47, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(Deployed(model).eval(), (image,), dynamic_shapes={"image": shape})
            buffer = io.BytesIO()
            torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(metadata))})
    except Exception as error:  # of whatever it traces
        raise ExportError(
            f"PyTorch cannot export the network ({type(error).__name__}: {first_line(error)}): export it "
            "with --format onnx"
        ) from error
    return buffer.getvalue()


def run_program(file: bytes) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What a `.pt2` gives for uint8 ``batch x h x w x 3``."""
    module = torch.export.load(io.BytesIO(file)).module()

    def run(images: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            out: NDArray[Any] = module(torch.from_numpy(images)).numpy()
        return out

    return run
