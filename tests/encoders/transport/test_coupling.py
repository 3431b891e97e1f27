from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import class_distance
from tests.encoders.making import random_sketch


def test_matches_name_the_nearest_class() -> None:
    source = random_sketch(4, seed=3, name="source")
    order = torch.tensor([2, 0, 3, 1])
    moved: Sketch = replace(
        source,
        name="target",
        class_names=tuple(f"my {source.class_names[i]}" for i in order),
        counts=source.counts[order],
        means=source.means[order] + 0.01,
        covariances=source.covariances[order],
    )
    for match in class_distance(moved, source).matches:
        assert match.target == f"my {match.source_class}"
        assert match.mass == pytest.approx(1.0)
        assert match.distance == pytest.approx(0.01 * DIM**0.5, rel=1e-3)


def test_matches_come_nearest_first() -> None:
    matches = class_distance(random_sketch(6, seed=1), random_sketch(5, seed=2)).matches
    assert len(matches) == 6
    assert [m.distance for m in matches] == sorted(m.distance for m in matches)
