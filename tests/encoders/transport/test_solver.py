"""POT is imported when it is needed, in a thread if that is asked for."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import torch
from snt_zoo.encoders.transport import class_level, solver
assert "ot" not in sys.modules
{before}
mass = torch.tensor([0.5, 0.5], dtype=torch.float64)
costs = torch.tensor([[0.0, 3.0], [1.0, 0.0]], dtype=torch.float64)
print(class_level.exact_plan(mass, mass, costs).tolist())
"""


def plan(before: str) -> str:
    code = CODE.format(before=before)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_pot_is_imported_when_it_is_first_needed() -> None:
    assert plan("") == "[[0.5, 0.0], [0.0, 0.5]]\n"


def test_or_meanwhile_and_then_it_is_waited_for() -> None:
    assert plan("solver.load_meanwhile()") == "[[0.5, 0.0], [0.0, 0.5]]\n"


def test_what_is_wrong_with_pot_is_said_by_who_needs_it() -> None:
    broken = 'sys.modules["ot"] = None\nsolver.load_meanwhile()\ntry:\n    solver.emd()\n'
    broken += "except ImportError as error:\n    print('told', 'ot' in str(error))\ndel sys.modules['ot']"
    assert plan(broken).splitlines()[0] == "told True"
