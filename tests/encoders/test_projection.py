from __future__ import annotations

import numpy as np
import pytest
import torch

from snt_zoo.encoders.projection import DIM, project, projection


def test_the_projection_keeps_squared_distances_in_expectation() -> None:
    x = torch.randn(200, 1280, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(x, dim=1)
    before, after = torch.pdist(unit).square(), torch.pdist(project(x)).square()
    assert float((after / before).mean()) == pytest.approx(1.0, abs=0.02)
    assert float((after / before).std()) == pytest.approx((2 / DIM) ** 0.5, rel=0.1)


def test_the_projection_never_changes() -> None:
    # Sketches that lie in other people's bundles were made with it; the values are the stream's first.
    first = np.random.RandomState(20260101).standard_normal(3) / 8
    np.testing.assert_array_equal(projection(1280)[0, :3].numpy(), first.astype(np.float32))
