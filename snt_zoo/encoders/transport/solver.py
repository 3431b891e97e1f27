"""POT's network simplex, imported when it is first needed: with all that POT imports it takes a second."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

# POT looks for every library whose arrays it takes, and imports those that are there.
_OTHERS = ("JAX", "CUPY", "TENSORFLOW")
_MOST = 10_000_000  # iterations
_OPTIMAL = 1


def emd(*args: Any, **options: Any) -> Any:
    """`ot.emd`."""
    return _pot().emd(*args, **options)


def best_plan(
    left: NDArray[np.float64], right: NDArray[np.float64], costs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """An optimal plan, float64 ``n x m``.

    Args:
        left: positive masses ``n``, sum 1.
        right: positive masses ``m``, sum 1.
        costs: float64 ``n x m``.
    """
    # What `ot.emd` does before it calls this takes 30 µs, ten times as long as a problem of two classes, and
    # a query solves dozens. Masses sum to 1 and duals are not read, so no check and no centring is missed.
    try:
        found: tuple[NDArray[np.float64], float, Any, Any, int] = _pot().lp.emd_wrap.emd_c(
            left, right, np.ascontiguousarray(costs), _MOST, 1
        )
    except (AttributeError, TypeError):  # another release of POT has it elsewhere
        found = (left, 0.0, None, None, -1)
    if found[-1] == _OPTIMAL:
        return found[0]
    plan: NDArray[np.float64] = emd(
        left, right, costs, numItermax=_MOST, check_marginals=False, center_dual=False
    )
    return plan


@functools.cache
def _pot() -> Any:
    for name in _OTHERS:
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{name}", "1")
    import ot

    return ot
