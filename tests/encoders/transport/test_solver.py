"""POT is imported when it is needed, and imports no library that nothing here uses."""

from __future__ import annotations

import subprocess
import sys

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
