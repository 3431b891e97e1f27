"""Bures distances against matrix square roots of scipy, and against closed forms."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from snt_zoo.encoders.transport.bures import (
    nuclear_norms,
    square_root_distances,
    squared_bures,
    squared_bures_of_pairs,
)
from tests.encoders.transport.making import DEVICES

SEEDS = st.integers(0, 10_000)


def factors(n: int, rows: int, dim: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, rows, dim, generator=g, dtype=torch.float64) / rows**0.5


def symmetric_roots(n: int, dim: int, seed: int) -> torch.Tensor:
    f = factors(n, dim, dim, seed)
    values, vectors = torch.linalg.eigh(f.mT @ f)
    return (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.mT


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    root = sqrtm(a)
    return float(np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(root @ b @ root)).real)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("r", "s", "d"), [(5, 5, 5), (3, 9, 5), (9, 4, 5)])
def test_it_equals_the_definition(dtype: torch.dtype, device: str, r: int, s: int, d: int) -> None:
    left, right = factors(3, r, d, 1), factors(4, s, d, 2)
    found = squared_bures(left.to(device, dtype), right.to(device, dtype)).cpu()
    for i in range(3):
        for j in range(4):
            a, b = (f.mT @ f + 1e-9 * torch.eye(d) for f in (left[i], right[j]))
            expected = by_definition(a.numpy(), b.numpy())
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-3, abs=2e-3)


def test_it_equals_the_one_of_pot() -> None:
    left, right = symmetric_roots(3, 6, 1), symmetric_roots(5, 6, 2)
    zero = np.zeros(6)
    expected = [
        [ot.gaussian.bures_wasserstein_distance(zero, zero, (a @ a).numpy(), (b @ b).numpy()) for b in right]
        for a in left
    ]
    np.testing.assert_allclose(squared_bures(left, right).numpy(), np.square(expected), rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), SEEDS)
def test_padding_and_the_order_of_the_heights_change_nothing(rows: list[int], seed: int) -> None:
    left, right = factors(len(rows), 12, 5, seed), factors(3, 5, 5, seed + 1)
    for i, count in enumerate(rows):
        left[i, count:] = 0
    grouped = squared_bures(left, right, left_rows=torch.tensor(rows))
    torch.testing.assert_close(grouped, squared_bures(left, right), atol=1e-7, rtol=1e-7)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_it_is_a_metric_and_below_the_square_root_distance(seed: int) -> None:
    # Roots of eigenvalues near zero turn a rounding error of 1e-16 into 1e-8.
    roots = symmetric_roots(4, 5, seed)
    found = squared_bures(roots, roots)
    torch.testing.assert_close(found, found.mT, atol=1e-7, rtol=0)
    assert float(found.diagonal().max()) < 1e-7
    distance = found.clamp_min(0).sqrt()
    # Over k, the way from i to j by k is never shorter.
    assert float((distance[:, :, None] - distance[:, None] - distance[None]).max()) < 1e-3
    assert float((found - square_root_distances(roots, roots)).max()) < 1e-7
    pairs = squared_bures_of_pairs(roots, roots.roll(1, 0))
    torch.testing.assert_close(pairs, found[torch.arange(4), torch.arange(4).roll(1)], atol=1e-7, rtol=0)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_where_they_commute_it_is_the_square_root_distance(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    roots = torch.rand(3, 5, generator=g, dtype=torch.float64).diag_embed()
    torch.testing.assert_close(
        squared_bures(roots, roots), square_root_distances(roots, roots), atol=1e-7, rtol=0
    )
    expected = torch.cdist(roots.diagonal(dim1=1, dim2=2), roots.diagonal(dim1=1, dim2=2)).square()
    torch.testing.assert_close(squared_bures(roots, roots), expected, atol=1e-7, rtol=0)


def test_nuclear_norms_are_sums_of_singular_values() -> None:
    matrices = factors(7, 3, 8, 0)
    expected = torch.linalg.svdvals(matrices).sum(-1)
    torch.testing.assert_close(nuclear_norms(matrices), expected)
    torch.testing.assert_close(nuclear_norms(matrices.mT), expected)
