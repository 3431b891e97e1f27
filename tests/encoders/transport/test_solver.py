"""POT is imported when it is needed, and imports no library that nothing here uses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from snt_zoo.encoders.transport import solver

CODE = """
import os
import sys
import torch
from snt_zoo.encoders.transport import class_level
assert "ot" not in sys.modules
mass = torch.tensor([0.5, 0.5], dtype=torch.float64)
costs = torch.tensor([[0.0, 3.0], [1.0, 0.0]], dtype=torch.float64)
print(class_level.exact_plan(mass, mass, costs).tolist(), os.environ["POT_BACKEND_DISABLE_TENSORFLOW"])
"""


def test_pot_is_imported_when_it_is_first_needed() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert told == "[[0.5, 0.0], [0.0, 0.5]] 1\n"


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 7), (30, 30)])
def test_the_short_way_into_pot_gives_its_plan(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ot

    draw = np.random.default_rng(0)
    left, right = (draw.dirichlet(np.ones(n)) for n in size)
    wide = draw.random((size[0], 2 * size[1]))
    costs = wide[:, ::2]  # not contiguous
    whole = ot.emd(left, right, costs)
    np.testing.assert_allclose(solver.best_plan(left, right, costs), whole, atol=1e-15)
    monkeypatch.delattr(ot.lp, "emd_wrap")  # as in another release
    np.testing.assert_allclose(solver.best_plan(left, right, costs), whole, atol=1e-15)
