"""The best path through a space whose scores and costs add up over its edges: an integer programme.

One binary variable for each operation of each edge, one operation on each edge, linear bounds on costs,
and whatever linear rules a space adds (two edges into each node of DARTS). HiGHS solves it to the end
(`scipy.optimize.milp`); spaces of a few hundred variables take milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.networks.spaces.costs import Bound, Choice


@dataclass(frozen=True, eq=False)
class Rule:
    """A linear rule on a path: the coefficients of its operations sum to a number from `low` to `high`.

    Args:
        coefficients: for each kind of cell that matters ``edges x operations``.
        low: smallest allowed sum.
        high: largest.
    """

    coefficients: Mapping[str, Tensor]
    low: float
    high: float


def best_choice(scores: Mapping[str, Tensor], bound: Bound, rules: Iterable[Rule] = ()) -> Choice | None:
    """The path with the largest sum of scores within a bound, or None if there is none.

    Args:
        scores: for each kind of cell ``edges x operations``, finite; say, logarithms of a mixture.
        bound: on the costs, which add up over the edges.
        rules: further rules of the space.

    Returns:
        For each kind of cell the index of the operation of each edge.
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    shapes = {kind: tuple(table.shape) for kind, table in scores.items()}

    def flat(tables: Mapping[str, Tensor]) -> np.ndarray:
        parts = [tables.get(kind, torch.zeros(shape)) for kind, shape in shapes.items()]
        return torch.cat([part.detach().double().cpu().flatten() for part in parts]).numpy()

    edges = sum(rows for rows, _ in shapes.values())
    owner = np.repeat(np.arange(edges), [columns for rows, columns in shapes.values() for _ in range(rows)])
    one_each = (owner[None] == np.arange(edges)[:, None]).astype(float)
    constraints = [LinearConstraint(one_each, 1, 1)]
    for table, most in bound.limits():
        if most < 0:
            return None
        # Scaled to 1: HiGHS has absolute tolerances, and whole numbers below 2**53 stay exact enough.
        scale = max(most, 1)
        constraints.append(LinearConstraint(flat(table)[None] / scale, -np.inf, most / scale))
    constraints += [LinearConstraint(flat(rule.coefficients)[None], rule.low, rule.high) for rule in rules]
    gains = flat(scores)
    while True:
        found = milp(
            -gains,
            integrality=np.ones_like(gains),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            return None
        choice = _choice(found.x, shapes)
        if bound.allows(choice):
            return choice
        # Above the bound by less than the solver's tolerance: forbid this one path and solve again.
        constraints.append(LinearConstraint(np.round(found.x)[None], -np.inf, edges - 1))


def _choice(x: Sequence[float], shapes: Mapping[str, tuple[int, ...]]) -> Choice:
    choice, start = {}, 0
    values = torch.as_tensor(x)
    for kind, (rows, columns) in shapes.items():
        choice[kind] = values[start : start + rows * columns].view(rows, columns).argmax(1).tolist()
        start += rows * columns
    return choice
