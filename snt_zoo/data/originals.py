"""The images of a split as they came: where they lie, or encoded."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from snt_zoo.data.dataset import Split, SubsetStore
from snt_zoo.data.stores import ArrayStore, EncodedStore
from snt_zoo.errors import DatasetError


def originals(split: Split, most: int) -> list[str | Path | bytes]:
    """Some images of a split, evenly spaced, for whoever wants more than their pixels at one size.

    Args:
        split: of a dataset that was opened.
        most: images, at most.

    Returns:
        For each a path, or its encoded bytes; those that lie in an array are encoded as PNG.

    Raises:
        DatasetError: the split's store holds neither files nor arrays.
    """
    step = max(1, -(-len(split) // most))
    rows: Tensor = torch.arange(0, len(split), step)
    store = split.images
    while isinstance(store, SubsetStore):
        rows, store = store.indices[rows], store.split.images
    if isinstance(store, EncodedStore):
        return [store.sources[row] for row in rows.tolist()]
    if isinstance(store, ArrayStore):
        return [_png(store.pixels[row]) for row in rows.tolist()]
    raise DatasetError(
        f"expected a dataset of image files or of arrays, got {type(store).__name__}: give a folder or an "
        ".npz"
    )


def _png(pixels: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG")
    return buffer.getvalue()
