"""Batch norm for weights that several choices share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snt_zoo.networks.spaces.part_norm import copy_statistics, normalise


class SwitchableNorm(nn.BatchNorm2d):
    """Batch norm with statistics of its own for each choice, and one scale and shift for all of them.

    Statistics of a choice fit no other one (Yu et al., ICLR 2019, arXiv 1812.08928). A scale for each would
    let weights do the alphas' work, and none would lose those of a pretrained network: so it is shared.

    Args:
        channels: most channels of an input.
        choices: sets of statistics; set i is rows i·channels to (i + 1)·channels of `running_mean`.
        eps: added to the variance.
    """

    def __init__(self, channels: int, choices: int = 1, *, eps: float = 1e-5) -> None:
        super().__init__(channels * choices, eps, affine=False)
        self.channels = channels
        self.affine = True  # `reset_parameters` sets scale and shift, too
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, choice: int = 0) -> Tensor:
        """``batch x n x h x w`` with n ≤ channels: the first n, by the statistics of a choice."""
        n = x.shape[1]
        start = choice * self.channels
        return normalise(x, self, slice(start, start + n), self.weight[:n], self.bias[:n])

    def mixed(self, x: Tensor, weights: Tensor) -> Tensor:
        """The sum of all choices, each by its own statistics and times its weight.

        Args:
            x: ``batch x choices · channels x h x w``, choice by choice.
            weights: ``choices``.

        Returns:
            ``batch x channels x h x w``.
        """
        normal = normalise(x, self, slice(None))
        normal = torch.unflatten(normal, 1, (-1, self.channels))
        total = torch.einsum("nochw,o->nchw", normal, weights)
        # Scale and shift are common to the choices, so they can wait until after the sum.
        shift = self.bias * weights.sum()
        return torch.addcmul(shift[:, None, None], total, self.weight[:, None, None])

    def copy_to(self, plain: nn.BatchNorm2d, choice: int = 0) -> None:
        """Give scale, shift and the statistics of a choice to a norm of as many or fewer channels."""
        n, start = plain.num_features, choice * self.channels
        for name in ("weight", "bias"):
            getattr(plain, name).copy_(getattr(self, name)[:n])
        copy_statistics(self, plain, slice(start, start + n))
