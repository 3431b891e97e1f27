from __future__ import annotations

import pytest
import torch

from benchmarks.learned_peers import _mednns, h_score


def test_the_h_score_rises_with_what_lies_between_classes_and_knows_no_rotation() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    noise = torch.randn(90, 8, generator=g)
    centres = torch.randn(3, 8, generator=g)
    scores = [h_score(noise + size * centres[labels], labels) for size in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores)
    assert 0 <= scores[0] < scores[2] < 2  # three classes have means in a plane
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, generator=g))
    x = noise + 2 * centres[labels]
    assert h_score(x @ rotation, labels) == pytest.approx(h_score(x, labels), abs=1e-4)
    few = torch.arange(6) % 3  # fewer images than features: the covariance is shrunk
    assert h_score(torch.randn(6, 40, generator=g), few) < 3


def test_the_losses_of_mednns_want_the_order_and_the_distances() -> None:
    y = torch.tensor([[1.0, 0.0, torch.nan]])
    rows, data, levels = torch.tensor([0]), torch.ones(1, 4), torch.zeros(1)
    moments = torch.randn(2, 4)
    right, wrong = (torch.tensor([[a, b, 9.0]]) for a, b in ((1.0, 0.0), (0.0, 1.0)))
    assert _mednns(moments, rows, data, right, y, levels) == pytest.approx(0.0)
    assert float(_mednns(moments, rows, data, wrong, y, levels)) > 1
