from __future__ import annotations

import pytest
import torch

from snt_zoo.encoders.embedding import EMBEDDING_DIM, embed
from tests.encoders.making import random_sketch


def test_an_embedding_has_unit_length() -> None:
    vector = embed(random_sketch(7))
    assert vector.shape == (EMBEDDING_DIM,) and vector.dtype == torch.float32
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-6)
