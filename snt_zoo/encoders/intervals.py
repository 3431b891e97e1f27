"""Intervals of a prediction that keep what they promise, whatever the predictor: conformal, by groups.

The unit is the parent: outcomes of one dataset, of its relatives and of all views of it go wrong together, so
that thousands of rows of twelve parents say as little of a thirteenth as twelve numbers do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEVEL = 0.9


def grouped_quantile(parts: Sequence[Tensor], level: float = LEVEL) -> float:
    """The bound below which a residual of a new group lies with a probability; every group counts alike.

    Hierarchical conformal prediction (Lee, Barber and Willett 2023, arXiv 2306.06342): residuals of K groups,
    each with the weight 1 / (K + 1) shared among its own, and the rest of the weight at infinity.

    Args:
        parts: absolute residuals of each group, each predicted without that group; at least one in each.
        level: the probability, for a random row of a random new group.

    Returns:
        Infinite where there are too few groups: fewer than 9 for a level of 0.9.
    """
    if not parts:
        return float("inf")
    values = torch.cat(list(parts)).double()
    share = 1 / (len(parts) + 1)
    weights = torch.cat([torch.full((len(part),), share / len(part), dtype=torch.float64) for part in parts])
    order = values.argsort()
    place = int((weights[order].cumsum(0) < level - 1e-9).sum())
    return float(values[order[place]]) if place < len(values) else float("inf")
