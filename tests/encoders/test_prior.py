from __future__ import annotations

import pytest
import torch

from snt_zoo.encoders.prior import shrunken_means


def _table(levels: torch.Tensor, tasks: int, *, keep: float, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(tasks, generator=generator).double()
    there = torch.rand(tasks, len(levels), generator=generator) < keep
    task, network = there.nonzero(as_tuple=True)
    return task, network, own[task] + levels[network]


def test_levels_are_found_whatever_the_tasks_levels_and_gaps() -> None:
    levels = torch.tensor([1.0, 0.0, -1.0, 0.5, -0.5]).double()
    found = shrunken_means(*_table(levels, 400, keep=0.5), networks=5)
    assert torch.allclose(found - found.mean(), levels, atol=0.05)


def test_what_was_not_tried_has_what_is_expected() -> None:
    levels = torch.tensor([1.0, -1.0]).double()
    expected = torch.tensor([0.0, 0.0, 0.7]).double()
    found = shrunken_means(*_table(levels, 50, keep=1.0), networks=3, expected=expected)
    assert float(found[2]) == pytest.approx(0.7)


def test_one_outcome_moves_a_network_less_than_many() -> None:
    task, network, y = _table(torch.tensor([0.0, 0.0, 2.0]).double(), 30, keep=1.0)
    few = shrunken_means(task[:3], network[:3], y[:3], networks=3)
    many = shrunken_means(task, network, y, networks=3)
    assert 0 < float(few[2] - few[0]) < float(many[2] - many[0]) < 2.0
