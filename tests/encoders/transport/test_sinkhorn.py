"""Entropic transport against POT, and in its limits."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.encoders.transport.deadline import Deadline
from snt_zoo.encoders.transport.sinkhorn import self_transport, sinkhorn
from snt_zoo.errors import TimeLimitError
from tests.encoders.transport.making import DEVICES, programme

SEEDS = st.integers(0, 10_000)


def problem(n: int, m: int, seed: int, *, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    """Costs and masses of a batch of one."""
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(size, 3, generator=g, dtype=torch.float64) for size in (n, m))
    left, right = (torch.rand(size, generator=g, dtype=torch.float64) + 0.1 for size in (n, m))
    costs = scale * torch.cdist(x, y).square()
    return costs[None], (left / left.sum())[None], (right / right.sum())[None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_plan_and_value_equal_those_of_pot(epsilon: float, device: str) -> None:
    costs, left, right = problem(12, 9, 0)
    found = sinkhorn(costs.to(device), left.to(device), right.to(device), epsilon=epsilon, tolerance=1e-9)
    a, b = left[0].numpy(), right[0].numpy()
    plan = ot.sinkhorn(
        a, b, costs[0].numpy(), epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=100_000
    )
    np.testing.assert_allclose(found.plans[0].cpu().numpy(), plan, atol=1e-7)
    entropy = (plan * np.log(np.maximum(plan, 1e-300) / np.outer(a, b))).sum()
    value = (plan * costs[0].numpy()).sum() + epsilon * entropy
    assert float(found.values) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_small_epsilon_comes_near_the_exact_cost(scale: float) -> None:
    # Costs over ε reach 10⁴ here: a kernel that is not stabilised would be all zeros.
    costs, left, right = problem(10, 14, 3, scale=scale)
    exact = programme(costs[0].numpy(), left[0].numpy(), right[0].numpy())
    found = sinkhorn(costs, left, right, epsilon=2e-3 * scale, tolerance=1e-3)
    assert float((found.plans * costs).sum()) == pytest.approx(exact, rel=1e-2)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.5, 5.0]))
def test_marginals_are_met_and_a_batch_equals_its_parts(seed: int, epsilon: float) -> None:
    small, large = problem(6, 4, seed), problem(6, 7, seed + 1)
    costs = torch.zeros(2, 6, 7, dtype=torch.float64)
    costs[0, :, :4], costs[1] = small[0][0], large[0][0]
    right = torch.zeros(2, 7, dtype=torch.float64)
    right[0, :4], right[1] = small[2][0], large[2][0]
    both = sinkhorn(costs, torch.cat([small[1], large[1]]), right, epsilon=epsilon, tolerance=1e-8)
    torch.testing.assert_close(both.plans.sum(1), right, atol=1e-12, rtol=0)
    assert float((both.plans.sum(2) - torch.cat([small[1], large[1]])).abs().sum()) < 1e-7
    for row, part in enumerate((small, large)):
        alone = sinkhorn(*part, epsilon=epsilon, tolerance=1e-8)
        assert float(both.values[row]) == pytest.approx(float(alone.values), rel=1e-6, abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.3, 3.0]))
def test_a_measure_with_itself_agrees_with_the_general_solver(seed: int, epsilon: float) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 3, generator=g, dtype=torch.float64)
    masses = torch.rand(8, generator=g, dtype=torch.float64) + 0.1
    masses = (masses / masses.sum())[None]
    costs = torch.cdist(x, x).square()[None]
    expected = sinkhorn(costs, masses, masses, epsilon=epsilon, tolerance=1e-5).values
    found = self_transport(costs, masses, epsilon=epsilon, tolerance=1e-8)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_it_gives_up_in_time() -> None:
    costs, left, right = problem(30, 30, 0)
    with pytest.raises(TimeLimitError, match="fewer samples or a cheaper level"):
        sinkhorn(costs, left, right, epsilon=1e-6, deadline=Deadline.after(-1.0))
    with pytest.raises(TimeLimitError):
        self_transport(costs, left, epsilon=1e-6, tolerance=1e-12, deadline=Deadline.after(-1.0))
