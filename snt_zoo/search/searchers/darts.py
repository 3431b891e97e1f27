"""DARTS (Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055), first order: all operations, mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snt_zoo.search.searchers.base import Searcher, register_searcher


@register_searcher("darts")
class MixtureSearcher(Searcher):
    """Every step computes all operations, mixed by the softmax of the alphas."""

    def mixture(self) -> Mapping[str, Tensor]:
        """Weights of the operations in one step, differentiable in the alphas."""
        return self.supernet.mixture()

    @torch.no_grad()
    def inputs(self) -> Sequence[Tensor]:
        return () if self.settled else tuple(self.regularised(self.mixture()).values())

    def alpha_inputs(self) -> Sequence[Tensor]:
        return (*super().alpha_inputs(), *self.regularised(self.mixture()).values())

    def outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        # The mixture is given, and not computed here: so a GPU can replay the passes, whatever is drawn.
        out: Tensor = self.supernet(images, dict(zip(self.supernet.alphas, inputs, strict=True)))
        return out

    def alpha_outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        return self.outputs(images, *inputs)

    def evaluation(self) -> dict[str, Mapping[str, Tensor]]:
        # An epoch before the path is trained must not be kept for what the mixture knows.
        return {} if self.recipe.settle_share else {"mixture": self.expected_mixture()}
