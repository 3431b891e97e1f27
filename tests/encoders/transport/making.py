"""Labelled samples, and slow and obvious solvers, for the tests of transport."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from snt_zoo.encoders.transport import LabelledSamples

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def labelled(n: int, classes: int, *, dim: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Samples of overlapping classes, each of at least one sample: ``n x dim`` and ``n``."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(classes), torch.randint(0, classes, (n - classes,), generator=g)])
    centres = 0.3 * torch.randn(classes, dim, generator=g, dtype=torch.float64)
    return centres[labels] + 0.2 * torch.randn(n, dim, generator=g, dtype=torch.float64), labels


def cloud(n: int, classes: int, *, dim: int = 6, seed: int = 0) -> LabelledSamples:
    """The same as one side of a distance."""
    return LabelledSamples.of_features(*labelled(n, classes, dim=dim, seed=seed))


def programme(costs: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """The least cost of transport, by a linear programme."""
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones((1, m)))
    columns = np.kron(np.ones((1, n)), np.eye(m))
    found = linprog(
        costs.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([left, right]), method="highs"
    )
    return float(found.fun)
