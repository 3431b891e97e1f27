"""DrNAS (Chen et al., ICLR 2021, arXiv 2006.10355): mixtures drawn from a Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional

from snt_zoo.search.searchers.base import register_searcher
from snt_zoo.search.searchers.darts import MixtureSearcher


@register_searcher("drnas")
class DirichletSearcher(MixtureSearcher):
    """Every step computes all operations, mixed by a draw from Dirichlet(1 + elu(α)) for each edge.

    The alphas learn by the draw's pathwise derivative (Jankowiak and Obermeyer 2018): a Dirichlet draw is
    a vector of gamma draws over its sum, and torch differentiates gamma draws implicitly. Drawn so, and
    not by `torch.distributions`, the noise is the run's generator's, so that a run repeats to the bit. A GPU
    draws by itself, from the same seed: the host would have to wait for the alphas.

    `recipe.dirichlet_kl` weighs their regulariser, the divergence from the uniform Dirichlet; by default
    it is 0 and weight decay on the alphas pulls them there, which is the default of their code.
    """

    def concentrations(self) -> dict[str, Tensor]:
        """For each kind of cell 1 + elu(α): ``edges x operations``, positive."""
        return {kind: functional.elu(alpha) + 1 for kind, alpha in self.supernet.alphas.items()}

    def mixture(self) -> Mapping[str, Tensor]:
        generator = self.generator
        if self.device.type == "cuda":
            generator = torch.Generator(self.device).manual_seed(generator.initial_seed())
        draws = {kind: dirichlet(table, generator=generator) for kind, table in self.concentrations().items()}
        return self.supernet.normalised(draws)

    @torch.no_grad()
    def expected_mixture(self) -> Mapping[str, Tensor]:
        means = {kind: c / c.sum(-1, keepdim=True) for kind, c in self.concentrations().items()}
        return self.supernet.normalised(means)

    def penalty(self) -> Tensor:
        penalty = super().penalty()
        if self.recipe.dirichlet_kl:
            for table in self.concentrations().values():
                # Not validated: a GPU would be waited for.
                uniform = Dirichlet(torch.ones_like(table), validate_args=False)
                divergence = kl_divergence(Dirichlet(table, validate_args=False), uniform)
                penalty = penalty + self.recipe.dirichlet_kl * divergence.sum()
        return penalty


def dirichlet(concentration: Tensor, *, generator: torch.Generator) -> Tensor:
    """A draw from a Dirichlet distribution for each row, differentiable in the concentration.

    Args:
        concentration: positive, ``rows x n``.
        generator: on the CPU, or where the concentrations are.

    Returns:
        Non-negative, ``rows x n``, rows sum to 1; on the device of `concentration`.
    """
    smallest = torch.finfo(concentration.dtype).tiny
    there = concentration.to(generator.device)
    gamma = torch._standard_gamma(there.clamp_min(1e-6), generator=generator)
    gamma = gamma.clamp_min(smallest)
    return (gamma / gamma.sum(-1, keepdim=True)).to(concentration.device)
