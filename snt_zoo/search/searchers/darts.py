"""DARTS (Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055), first order: all operations, mixed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from snt_zoo.search.searchers.base import Searcher, register_searcher


@register_searcher("darts")
class MixtureSearcher(Searcher):
    """Every step computes all operations, mixed by the softmax of the alphas."""

    def mixture(self) -> Mapping[str, Tensor]:
        """Weights of the operations in one step, differentiable in the alphas."""
        return self.supernet.mixture()

    def outputs(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            mixture = self.regularised(self.mixture())
        out: Tensor = self.supernet(images, mixture)
        return out

    def alpha_outputs(self, images: Tensor) -> Tensor:
        out: Tensor = self.supernet(images, self.regularised(self.mixture()))
        return out

    def evaluation(self) -> dict[str, Mapping[str, Tensor]]:
        # An epoch before the path is trained must not be kept for what the mixture knows.
        return {} if self.recipe.settle_share else {"mixture": self.expected_mixture()}
