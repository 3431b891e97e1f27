"""Bures-Wasserstein distances between many covariances at once.

Between Gaussians W₂² = |μ − μ'|² + B²(Σ, Σ'), and with any factors Σ = FᵀF and Σ' = GᵀG

    B²(Σ, Σ') = |F|² + |G|² − 2 ‖F Gᵀ‖₊      (‖·‖₊: sum of the singular values)

so that neither a matrix square root nor a full matrix is needed where a class has few samples: F is then
as short as the class. A symmetric root is such a factor too. All covariances come as factors, computed once.

The square-root distance |√Σ − √Σ'|² is never below B², since a trace is never above the nuclear norm, equals
it where the two commute, and costs one matrix product for all pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CHUNK = 4096  # pairs whose products are in memory at once
_STEP = 8  # factors are grouped by rows, rounded up to so many


def squared_bures(
    left: Tensor, right: Tensor, *, left_rows: Tensor | None = None, right_rows: Tensor | None = None
) -> Tensor:
    """Squared Bures distances of all pairs.

    Args:
        left: factors, ``n x r x d``; a covariance is ``factorᵀ @ factor``.
        right: ``m x s x d``, of the same type and on the same device.
        left_rows: int64 ``n``, how many rows of each factor count; the others are zero. All by default.
        right_rows: int64 ``m``, likewise.

    Returns:
        ``n x m``, at least 0.
    """
    out = left.new_empty(len(left), len(right))
    for rows, mine in _groups(left, left_rows):
        for columns, theirs in _groups(right, right_rows):
            block = left.new_empty(len(rows), len(columns))
            step = max(1, _CHUNK // len(columns))
            for start in range(0, len(rows), step):
                part = mine[start : start + step]
                products = torch.einsum("nrd,msd->nmrs", part, theirs)
                block[start : start + step] = nuclear_norms(products)
            out[rows[:, None], columns] = block
    return (_norms(left)[:, None] + _norms(right) - 2 * out).clamp_min(0)


def squared_bures_of_pairs(
    left: Tensor, right: Tensor, *, pairs: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Squared Bures distances of pairs.

    Args:
        left: factors, ``n x r x d``.
        right: ``m x s x d``.
        pairs: int64 ``p``, the row of the left and that of the right; by default each with its like.

    Returns:
        ``p``, at least 0.
    """
    rows, columns = pairs or (torch.arange(len(left), device=left.device),) * 2
    cross = left.new_empty(len(rows))
    for start in range(0, len(rows), _CHUNK):  # of many pairs not all factors are in memory at once
        part = slice(start, start + _CHUNK)
        cross[part] = nuclear_norms(left[rows[part]] @ right[columns[part]].mT)
    return (_norms(left)[rows] + _norms(right)[columns] - 2 * cross).clamp_min(0)


def square_root_distances(
    left: Tensor, right: Tensor, *, left_traces: Tensor | None = None, right_traces: Tensor | None = None
) -> Tensor:
    """Squared distances between symmetric roots.

    Args:
        left: ``n x d x d``.
        right: ``m x d x d``.
        left_traces: of the covariances, ``n``, where they are known.
        right_traces: ``m``, likewise.

    Returns:
        ``n x m``, at least 0.
    """
    inner = left.flatten(1) @ right.flatten(1).mT
    own = _norms(left) if left_traces is None else left_traces
    theirs = _norms(right) if right_traces is None else right_traces
    return (own[:, None] + theirs - 2 * inner).clamp_min(0)


def nuclear_norms(matrices: Tensor) -> Tensor:
    """Sums of singular values, ``... x r x s`` to ``...``; by the eigenvalues of the smaller Gram matrix."""
    if matrices.shape[-2] < matrices.shape[-1]:
        matrices = matrices.mT
    values: Tensor = torch.linalg.eigvalsh(matrices.mT @ matrices)
    return values.clamp_min(0).sqrt().sum(-1)


def _norms(factors: Tensor) -> Tensor:
    """Traces of the covariances."""
    return factors.square().sum((-2, -1))


def _groups(factors: Tensor, rows: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """Factors of about the same number of rows, with their places."""
    if rows is None:
        return [(torch.arange(len(factors), device=factors.device), factors)]
    rounded = ((rows + _STEP - 1) // _STEP * _STEP).clamp(1, factors.shape[1])
    groups = []
    for height in torch.unique(rounded).tolist():
        places = (rounded == height).nonzero().flatten()
        groups.append((places, factors[places, :height]))
    return groups
