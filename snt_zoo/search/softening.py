"""Transferred alphas that are saturated can hardly move: a temperature gives them room again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from snt_zoo.networks.supernet import Supernet

_HALVINGS = 60


@torch.no_grad()
def soften(supernet: Supernet, least: float) -> dict[str, Any]:
    """Divide the alphas by the smallest temperature that brings their entropy up to a number.

    Every row keeps the order of its operations. Entropy is the mean over the edges as a share of the
    largest possible; it grows with the temperature, which is found by bisection.

    Args:
        supernet: changed in place, unless its entropy is so much already.
        least: entropy, from 0 to 1, exclusively.

    Returns:
        What was done: `fired`, `temperature` and the entropy before and after.
    """
    before = supernet.entropy()
    report: dict[str, Any] = {"fired": before < least, "least": least}
    report |= {"entropy_before": before, "entropy_after": before, "temperature": 1.0}
    if before >= least:
        return report
    tables = [alpha.double() for alpha in supernet.alphas.values()]
    low, high = 1.0, 2.0
    while _entropy(tables, high) < least:
        high *= 2
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _entropy(tables, middle) < least else (low, middle)
    for alpha in supernet.alphas.values():
        alpha.div_(high)
    return report | {"temperature": high, "entropy_after": supernet.entropy()}


def _entropy(tables: list[Tensor], temperature: float) -> float:
    rows = torch.cat([(table / temperature).softmax(-1) for table in tables])
    entropy = -(rows * rows.clamp_min(1e-300).log()).sum(1).mean()
    return float(entropy) / math.log(rows.shape[1])
