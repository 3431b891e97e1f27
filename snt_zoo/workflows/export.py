"""Make a file that runs without snt-zoo of a saved network, and check it before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.originals import originals
from snt_zoo.errors import ExportError
from snt_zoo.formats.durable import write_files
from snt_zoo.networks.evaluate import Model, input_sizes
from snt_zoo.networks.export.agreement import Agreement, check, compare, shipped_images
from snt_zoo.networks.export.deployed import description
from snt_zoo.networks.export.executorch_file import run_executorch, to_executorch
from snt_zoo.networks.export.onnx_file import (
    OPSET,
    Array,
    OnnxNetwork,
    as_arrays,
    core_to_onnx,
    joined,
    pixel_names,
    resize_to_onnx,
)
from snt_zoo.networks.export.quantisation import CALIBRATION_BATCH, CALIBRATION_IMAGES, describe, quantised
from snt_zoo.networks.export.torch_file import run_program, to_program
from snt_zoo.networks.model_folder import load_model
from snt_zoo.workflows.evaluate import relabelled

Format = Literal["onnx", "torch", "executorch"]
SUFFIXES: Mapping[str, str] = {"onnx": ".onnx", "torch": ".pt2", "executorch": ".pte"}
SAMPLE = 64
"""Images of the test part that an exported file is asked about."""
MAX_DROP = 0.01
"""Accuracy that an int8 network may lose: a point."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file.
        size: its bytes.
        agreement: with the network, on a sample of images.
        accuracy: of an int8 network on the test part, as ``{"float32": …, "int8": …}``; else empty.
    """

    path: Path
    size: int
    agreement: Agreement
    accuracy: Mapping[str, float]


def export_model(
    folder: str | Path,
    *,
    format: Format = "onnx",
    out: str | Path | None = None,
    data: ImageDataset | None = None,
    opset: int = OPSET,
    int8: bool = False,
    max_drop: float = MAX_DROP,
    tell: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write a saved network as one file that takes images as they are decoded, and runs without snt-zoo.

    The file is asked about images before it is kept: test images of the dataset, or photographs that ship
    with scikit-learn.

    Args:
        folder: of the network, as `finetune` writes it.
        format: `onnx`; `torch` for a program of `torch.export`; or `executorch`, for phones, which takes one
            image that is resized already.
        out: the file; by default `model.onnx`, `model-int8.onnx`, `model.pt2` or `model.pte` in the folder.
        data: that the network was trained on; needed for int8.
        opset: of ONNX.
        int8: make weights, and what goes between the layers, small integers.
        max_drop: accuracy on the test part, from 0 to 1, that int8 may lose.
        tell: called with what is being done.

    Example:
        >>> import snt_zoo
        >>> snt_zoo.export_model("runs/photos-1").path  # doctest: +SKIP
        PosixPath('runs/photos-1/model.onnx')

    Raises:
        ModelFolderError: the folder is not a saved model.
        ExportError: the file answers otherwise than the network, int8 loses too much, or a package lacks.
        LabelError: the dataset's classes are not the network's.
    """
    if int8 and (data is None or format != "onnx"):
        raise ExportError(
            "int8 is made for --format onnx, and measures the network on its images: name the dataset with "
            "--data, or export float32 without --int8"
        )
    tell("loading the network")
    loaded = load_model(folder)
    name = "model-int8" if int8 else "model"
    path = Path(folder) / f"{name}{SUFFIXES[format]}" if out is None else Path(out)
    sources = shipped_images() if data is None else originals(data.test, SAMPLE)
    accuracy: dict[str, float] = {}
    tell(f"writing {format}")
    if format == "torch":
        content = to_program(loaded.model, description(loaded))
        tell("asking it about images")
        agreement = check(run_program(content), loaded, sources)
    elif format == "executorch":
        content = to_executorch(loaded.model, description(loaded))
        tell("asking it about images")
        agreement = check(run_executorch(content, loaded.model), loaded, sources)
    else:
        sizes = tuple(dict.fromkeys(input_sizes(loaded.model)))
        resize, core = resize_to_onnx(sizes, opset), core_to_onnx(loaded.model, opset)
        more: dict[str, Any] = {}
        if int8:
            assert data is not None
            tell("quantising")
            split = relabelled(data.test, data.class_names, loaded.class_names)
            small = quantised(core, calibration(data.train, loaded.model))
            accuracy = {
                kind: accuracy_of(OnnxNetwork(part.SerializeToString()), loaded.model, split)
                for kind, part in (("float32", core), ("int8", small))
            }
            _refuse_drop(accuracy, max_drop)
            core, more = small, {"quantisation": describe(accuracy)}
        content = joined(resize, core, description(loaded, **more)).SerializeToString()
        tell("asking it about images")
        # Small integers answer otherwise: what they lose was measured.
        agreement = (compare if int8 else check)(OnnxNetwork(content), loaded, sources)
    try:
        write_files(path.parent, {path.name: content})
    except OSError as error:
        raise ExportError(
            f"cannot write {path} ({error.strerror}): make room there, or choose another --out"
        ) from error
    return Exported(path, len(content), agreement, accuracy)


def calibration(split: Split, model: Model) -> Iterator[dict[str, Array]]:
    """Training images as the network alone takes them, some at a time."""
    for pixels in _pixels(split.thinned(CALIBRATION_IMAGES), model, CALIBRATION_BATCH):
        yield dict(zip(pixel_names(tuple(dict.fromkeys(input_sizes(model)))), pixels, strict=True))


def accuracy_of(network: OnnxNetwork, model: Model, split: Split) -> float:
    """Share of a split's images that a network without its resize names rightly, from 0 to 1."""
    right, start = 0, 0
    for pixels in _pixels(split, model, CALIBRATION_BATCH):
        answers = torch.from_numpy(network(*pixels)).argmax(1)
        right += int((answers == split.labels[start : start + len(answers)]).sum())
        start += len(answers)
    return right / max(len(split), 1)


def _pixels(split: Split, model: Model, batch: int) -> Iterator[list[Array]]:
    sizes = tuple(dict.fromkeys(input_sizes(model)))
    for rows in torch.split(torch.arange(len(split)), batch):
        yield as_arrays([split.decoded(size).take(rows) for size in sizes])


def _refuse_drop(accuracy: Mapping[str, float], most: float) -> None:
    before, after = accuracy["float32"], accuracy["int8"]
    if before - after > most + 1e-9:
        raise ExportError(
            f"int8 has an accuracy of {100 * after:.1f} % on the test part, float32 {100 * before:.1f} %: "
            f"more than {100 * most:g} points are lost, so nothing was written; allow more with --max-drop, "
            "or export without --int8"
        )
