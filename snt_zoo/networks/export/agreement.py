"""Whether an exported file answers as the network does, for the same image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from snt_zoo.data import decode_image
from snt_zoo.errors import ExportError
from snt_zoo.networks.evaluate import decode_for, draft_of, predict
from snt_zoo.networks.model_folder import LoadedModel

TOLERANCE = 1e-4
"""The largest difference of a probability that rounding may make."""
BATCHES = (1, 2, 7, 64)
"""Sizes of batches that are tried: an export may have fixed the one that it saw."""

Source = str | Path | bytes
Run = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Agreement:
    """What was found.

    Args:
        images: that were asked about.
        largest: difference of any probability, from 0 to 1.
        top: share of the images for which the likeliest class is the same.
    """

    images: int
    largest: float
    top: float


def check(run: Run, loaded: LoadedModel, sources: Sequence[Source]) -> Agreement:
    """`compare`, and batches of several sizes; raises unless all is the same but for rounding.

    Args:
        run: the file: uint8 ``batch x h x w x 3`` to probabilities ``batch x K``.
        loaded: the network that it was made of.
        sources: images, as paths or encoded bytes; those of a batch are of one size.

    Raises:
        ExportError: a probability differs by more than `TOLERANCE`, or a likeliest class is another one.
    """
    found, images, wanted = _compared(run, loaded, sources)
    _refuse(found)
    shape, _ = Counter(image.shape for image in images).most_common(1)[0]
    alike = [place for place, image in enumerate(images) if image.shape == shape]
    for count in BATCHES:
        places = [alike[i % len(alike)] for i in range(count)]
        _refuse(_agreement(run(np.stack([images[i] for i in places])), wanted[places]), f" of {count}")
    return found


def compare(run: Run, loaded: LoadedModel, sources: Sequence[Source]) -> Agreement:
    """How an exported file's answers differ from the network's, for image after image; see `check`."""
    return _compared(run, loaded, sources)[0]


def shipped_images() -> list[Source]:
    """Images to ask about where none are at hand: scikit-learn's two photographs, whole and in pieces."""
    found: list[Source] = []
    folder = resources.files("sklearn.datasets.images")
    for name in ("china.jpg", "flower.jpg"):
        content = (folder / name).read_bytes()
        found.append(content)
        whole = Image.open(BytesIO(content))
        for row in range(3):
            for column in range(5):
                piece = whole.crop((128 * column, 142 * row, 128 * (column + 1), 142 * (row + 1)))
                buffer = BytesIO()
                piece.save(buffer, "PNG")
                found.append(buffer.getvalue())
    return found


def _compared(
    run: Run, loaded: LoadedModel, sources: Sequence[Source]
) -> tuple[Agreement, list[NDArray[Any]], NDArray[Any]]:
    rendering, draft = loaded.trained_on.rendering, draft_of(loaded.model)
    images, wanted = [], []
    for source in sources:
        pixels = decode_image(source, draft=draft, rendering=rendering)
        images.append(pixels.permute(1, 2, 0).contiguous().numpy())
        wanted.append(predict(loaded.model, *decode_for(loaded.model, source, rendering=rendering)))
    expected: NDArray[Any] = torch.cat(wanted).numpy()
    answers = np.concatenate([run(image[None]) for image in images])
    return _agreement(answers, expected), images, expected


def _agreement(answers: NDArray[Any], wanted: NDArray[Any]) -> Agreement:
    if answers.shape != wanted.shape:
        raise ExportError(f"expected answers of the shape {wanted.shape}, got {answers.shape}: not written")
    largest = np.nan_to_num(np.abs(answers - wanted), nan=1.0).max()
    same = answers.argmax(1) == wanted.argmax(1)
    return Agreement(len(wanted), float(largest), float(same.mean()))


def _refuse(found: Agreement, batch: str = "") -> None:
    if found.largest > TOLERANCE or found.top < 1:
        raise ExportError(
            f"the exported network does not answer as the network does: of {found.images} images{batch} a "
            f"probability differs by {found.largest:.1e} and {100 * (1 - found.top):.1f} % have another "
            f"likeliest class, where {TOLERANCE:.0e} is rounding; nothing was written, please report it"
        )
