"""Covariances of small classes stay in bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import oas

from snt_zoo.encoders.shrinkage import class_covariances, shrink


def oas_by_hand(x: np.ndarray) -> np.ndarray:
    """The formula of Chen et al., entry by entry, for samples ``n x d``."""
    n, d = len(x) - 1, x.shape[1]
    s = np.cov(x, rowvar=False)
    square = sum(s[i, j] * s[j, i] for i in range(d) for j in range(d))
    over = (1 - 2 / d) * square + np.trace(s) ** 2
    under = (n + 1 - 2 / d) * (square - np.trace(s) ** 2 / d)
    weight = min(1.0, over / under)
    return (1 - weight) * s + weight * np.trace(s) / d * np.eye(d)


def samples(*sizes: int, dim: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian samples with unequal variances, of classes of these sizes."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(sizes), dim, generator=g, dtype=torch.float64) * torch.linspace(0.2, 2, dim)
    return x, torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def test_it_equals_the_formula() -> None:
    x, labels = samples(3, 10, 200)
    found = class_covariances(x, labels, 3)
    for k in range(3):
        np.testing.assert_allclose(found[k].numpy(), oas_by_hand(x[labels == k].numpy()), rtol=1e-9)


def test_it_is_close_to_the_one_of_scikit_learn() -> None:
    # Theirs drops 2 / d from the formula and divides by n: for many dimensions nearly the same.
    x, labels = samples(60, dim=40)
    theirs, _ = oas(x.numpy())
    found = class_covariances(x, labels, 1)[0].numpy() * 59 / 60
    assert np.linalg.norm(found - theirs) < 0.05 * np.linalg.norm(theirs)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 1000))
def test_no_class_blows_up_or_collapses(sizes: list[int], seed: int) -> None:
    x, labels = samples(*sizes, seed=seed)
    found = class_covariances(x, labels, len(sizes))
    values = torch.linalg.eigvalsh(found)
    if max(sizes) < 2:
        assert float(values.abs().max()) == 0.0
        return
    assert float(values.min()) > 0
    for k, size in enumerate(sizes):
        if 1 < size < 5:  # a handful of samples in 8 dimensions: nearly round
            own = torch.cov(x[labels == k].T)
            assert float(values[k].max()) < 0.8 * float(torch.linalg.eigvalsh(own).max())
            assert float(found[k].trace()) == pytest.approx(float(own.trace()))


def test_a_class_of_one_takes_the_common_covariance() -> None:
    x, labels = samples(40, 1)
    found = class_covariances(x, labels, 2)
    common = torch.from_numpy(np.cov(x[:40].numpy(), rowvar=False))
    torch.testing.assert_close(found[1], shrink(common, torch.tensor(39.0, dtype=torch.float64)))


def test_with_many_samples_hardly_anything_is_shrunk() -> None:
    x, labels = samples(20_000)
    torch.testing.assert_close(class_covariances(x, labels, 1)[0], torch.cov(x.T), atol=2e-3, rtol=0)


def test_a_multiple_of_the_identity_stays() -> None:
    eye = 3 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(shrink(eye, torch.tensor(4.0, dtype=torch.float64)), eye)
