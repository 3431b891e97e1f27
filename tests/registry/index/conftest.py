"""Vectors in clusters."""

from __future__ import annotations

import numpy as np
import pytest

from snt_zoo.registry.catalog.vectors import Ids, Vectors
from tests.registry.vectors import unit_rows

LISTS = 16


@pytest.fixture(scope="module")
def clustered() -> tuple[Ids, Vectors]:
    """Two thousand vectors around thirty centres, with ids that have gaps."""
    rng = np.random.default_rng(0)
    centres = unit_rows(rng, 30, 32)
    vectors = centres[rng.integers(0, 30, 2000)] + 0.05 * rng.standard_normal((2000, 32), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.arange(2000) * 3 + 5, vectors
