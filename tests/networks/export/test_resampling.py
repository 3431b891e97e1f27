"""The resize of an exported network is Pillow's to the bit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from snt_zoo.data import decode_image
from snt_zoo.data.decoding import GAP
from snt_zoo.networks.export.resampling import Resampling

SIZES = (8, 32, 97)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def resampled(image: np.ndarray, size: int) -> torch.Tensor:
    return Resampling(size)(torch.from_numpy(image)[None])[0]


def pillows(image: np.ndarray, size: int) -> torch.Tensor:
    """By way of a file, as a dataset and `predict` read it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return decode_image(buffer.getvalue(), size=size)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_pillows_for_any_size(size: int) -> None:
    generator = np.random.default_rng(size)
    sides = [tuple(map(int, generator.integers(1, 9 * size, 2))) for _ in range(12)]
    edges = [1, 2, size - 1, size, size + 1, 2 * size, 2 * GAP * size - 1, 2 * GAP * size, 3 * GAP * size + 1]
    sides += [(side, other) for side in edges for other in (size, 5 * size + 3)]
    for height, width in sides:
        image = noise(height, width)
        assert torch.equal(resampled(image, size), pillows(image, size).float()), (height, width)


def test_means_of_large_blocks_are_pillows() -> None:
    """Where Pillow's division by a product with 24 bits is one lower than the mean."""
    for height, width in ((8 * 24 * 17 + 5, 8 * 24), (700, 3000), (8 * 24 + 1, 8 * 72 + 7)):
        for image in (noise(height, width), np.full((height, width, 3), 254, np.uint8)):
            assert torch.equal(resampled(image, 8), pillows(image, 8).float()), (height, width)


def test_images_of_a_batch_do_not_mix() -> None:
    images = np.stack([noise(50, 40, seed) for seed in range(3)])
    together = Resampling(32)(torch.from_numpy(images))
    assert together.shape == (3, 3, 32, 32)
    assert torch.equal(together[1], resampled(images[1], 32))
