"""The prior: how good a network is on average, whatever the dataset, shrunk to what its kind suggests.

The static ranking, which is hard to beat (arXiv 2510.06448). Outcomes are thought of as the level of the task
plus the level of the network; few outcomes of a network move it little.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRENGTH = 2.0
"""Outcomes that the prior of a network is worth: with so many, half of what they say is believed."""


def shrunken_means(
    task: Tensor,
    network: Tensor,
    y: Tensor,
    *,
    networks: int,
    expected: Tensor | None = None,
    strength: float = STRENGTH,
) -> Tensor:
    """The level of each network, float64 ``networks``; 0 on average of those that were tried.

    Args:
        task: of each outcome, int64 ``n``.
        network: likewise.
        y: outcomes, as logits, float64 ``n``.
        networks: how many there are; one without an outcome gets what is expected.
        expected: of each before anything was tried, float64 ``networks``; 0 by default.
        strength: of that expectation, in outcomes.
    """
    start = torch.zeros(networks, dtype=torch.float64) if expected is None else expected
    tasks, task = torch.unique(task, return_inverse=True)
    left = y - start[network]
    counts = torch.bincount(network, minlength=networks).double()
    sizes = torch.bincount(task, minlength=len(tasks)).double()
    both = torch.zeros(len(tasks), networks, dtype=torch.float64)
    both.index_put_((task, network), torch.ones_like(y), accumulate=True)
    # The tasks' levels are free, so they are eliminated: what is left is a system of the networks alone.
    sums = torch.zeros(networks, dtype=torch.float64).index_add_(0, network, left)
    means = torch.zeros(len(tasks), dtype=torch.float64).index_add_(0, task, left) / sizes
    matrix = torch.diag(counts + strength) - both.T @ (both / sizes[:, None])
    found: Tensor = start + torch.linalg.solve(matrix, sums - both.T @ means)
    return found
