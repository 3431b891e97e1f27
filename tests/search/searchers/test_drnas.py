"""Dirichlet mixtures: their law, their pathwise derivative, their regulariser, their noise."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from snt_zoo.data import ImageDataset
from snt_zoo.search.searchers.drnas import DirichletSearcher, dirichlet
from tests.conftest import TINY
from tests.search.cases import make_searcher

ROW = torch.tensor([[0.7, 1.0, 2.5, 0.4]], dtype=torch.float64)


def test_draws_have_the_moments_of_the_dirichlet_distribution() -> None:
    draws = dirichlet(ROW.expand(40_000, -1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.sum(1), torch.ones(40_000, dtype=torch.float64))
    law = torch.distributions.Dirichlet(ROW[0])
    torch.testing.assert_close(draws.mean(0), law.mean, atol=0.006, rtol=0)  # 4 standard errors
    torch.testing.assert_close(draws.var(0), law.variance, atol=0.003, rtol=0)


def test_the_derivative_is_that_of_the_inverse_distribution_functions() -> None:
    concentration = ROW.clone().requires_grad_()
    draw = dirichlet(concentration, generator=torch.Generator().manual_seed(1))
    # Gamma draws at the same quantiles of their distribution functions, by an implementation of its own.
    gamma = torch._standard_gamma(ROW, generator=torch.Generator().manual_seed(1)).numpy()
    quantiles = stats.gamma.cdf(gamma, ROW.numpy())

    def at(values: np.ndarray) -> np.ndarray:
        inverse = stats.gamma.ppf(quantiles, values)
        return inverse / inverse.sum()

    for column in range(4):
        (found,) = torch.autograd.grad(draw[0, column], [concentration], retain_graph=True)
        for other in range(4):
            step = np.zeros((1, 4))
            step[0, other] = 1e-5
            expected = (at(ROW.numpy() + step) - at(ROW.numpy() - step))[0, column] / 2e-5
            torch.testing.assert_close(float(found[0, other]), expected, rtol=1e-4, atol=1e-7)


def test_the_noise_is_the_generators_alone(few_digits: ImageDataset) -> None:
    searcher = make_searcher("drnas", TINY["nas_bench_201"], few_digits)
    assert isinstance(searcher, DirichletSearcher)
    mixtures = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        searcher.generator.manual_seed(5)
        mixtures.append(searcher.mixture()["cell"])
    assert torch.equal(*mixtures)
    assert not torch.equal(mixtures[0], searcher.mixture()["cell"])
    torch.testing.assert_close(mixtures[0].sum(1), torch.ones(6))


def test_the_search_is_measured_by_the_mean(few_digits: ImageDataset) -> None:
    searcher = make_searcher("drnas", TINY["nas_bench_201"], few_digits)
    with torch.no_grad():
        searcher.alphas[0].normal_(generator=torch.Generator().manual_seed(0))
    concentration = torch.where(searcher.alphas[0] > 0, searcher.alphas[0] + 1, searcher.alphas[0].exp())
    expected = torch.distributions.Dirichlet(concentration).mean
    torch.testing.assert_close(searcher.expected_mixture()["cell"], expected.detach())


def test_the_regulariser_pulls_to_the_uniform_distribution(few_digits: ImageDataset) -> None:
    searcher = make_searcher("drnas", TINY["nas_bench_201"], few_digits, dirichlet_kl=0.5)
    with torch.no_grad():
        searcher.alphas[0].normal_(generator=torch.Generator().manual_seed(0))
    c = (torch.nn.functional.elu(searcher.alphas[0]) + 1).double()
    # KL(Dir(c) || Dir(1)), written out.
    total = c.sum(1)
    terms = ((c - 1) * (torch.digamma(c) - torch.digamma(total)[:, None])).sum(1)
    expected = torch.lgamma(total) - torch.lgamma(c).sum(1) - np.log(24.0) + terms
    torch.testing.assert_close(searcher.penalty().double(), 0.5 * expected.sum(), rtol=1e-5, atol=1e-6)
    (slope,) = torch.autograd.grad(searcher.penalty(), searcher.alphas)
    far = searcher.alphas[0].abs() > 0.3
    assert bool((slope * searcher.alphas[0] > 0)[far].float().mean() > 0.9)
    plain = make_searcher("drnas", TINY["nas_bench_201"], few_digits)
    assert float(plain.penalty()) == 0.0
