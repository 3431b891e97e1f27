"""GDAS (Dong and Yang, CVPR 2019, arXiv 1910.04465): one sampled architecture a step."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from snt_zoo.networks.spaces import Choice
from snt_zoo.search.searchers.base import Searcher, register_searcher


@register_searcher("gdas")
class PathSearcher(Searcher):
    """Every step computes one sampled architecture.

    Gumbel noise on the alphas gives an architecture drawn from the softmax; a weight step trains that
    path alone, an alpha step passes gradients to the alphas through the soft sample (straight through).
    A step costs what the derived network costs, and the weights learn to work in a path of their own, so
    that a derived network inherits accuracy and not only weights.

    Once the alphas move, only architectures within the supernet's bound are drawn: in place of one that is
    not, the best one by the same noise.
    """

    sampled: ClassVar[bool] = True

    def outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        _, choice = self._sample()
        out: Tensor = self.supernet(images, None, choice)
        return out

    def alpha_outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        soft, choice = self._sample()
        hard = {kind: weights - weights.detach() + 1.0 for kind, weights in soft.items()}
        out: Tensor = self.supernet(images, hard, choice)
        return out

    def _sample(self) -> tuple[dict[str, Tensor], Choice]:
        """Soft Gumbel-softmax weights for each kind of cell, and the path of their genotype."""
        soft = {}
        for kind, alpha in self.supernet.alphas.items():
            noise = torch.empty(alpha.shape).exponential_(generator=self.generator).log().neg()
            soft[kind] = (alpha + noise.to(alpha.device)).softmax(dim=-1)
        space = self.supernet.space
        return soft, space.choice(space.derive(soft, self.supernet.bound if self.warm else None))
