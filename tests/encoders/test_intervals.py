from __future__ import annotations

import math

import torch

from snt_zoo.encoders.intervals import grouped_quantile


def test_of_groups_of_one_it_is_the_split_conformal_bound() -> None:
    residuals = torch.arange(1.0, 48.0)  # 47 of them
    bound = grouped_quantile([one[None] for one in residuals])
    assert bound == float(residuals[math.ceil(0.9 * 48) - 1])


def test_a_large_group_counts_as_a_small_one() -> None:
    groups = [torch.ones(1)] * 30 + [torch.full((1000,), 9.0)]
    assert grouped_quantile(groups) == 1.0


def test_too_few_groups_promise_nothing() -> None:
    assert grouped_quantile([torch.ones(500)] * 8) == float("inf")
    assert grouped_quantile([]) == float("inf")
    assert grouped_quantile([torch.ones(5)] * 9) == 1.0


def test_a_new_group_is_covered_as_often_as_promised() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = 0.2 + torch.rand(400, generator=generator)
    rows = (torch.randn(400, 20, generator=generator) * scale[:, None]).abs()
    covered = [
        float((rows[i + 40] <= grouped_quantile(list(rows[i : i + 40]))).float().mean()) for i in range(350)
    ]
    assert 0.87 < sum(covered) / len(covered) < 0.95
