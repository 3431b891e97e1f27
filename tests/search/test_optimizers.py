"""The optimizers are torch's, and do not load its compiler."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch

from snt_zoo.search.optimizers import SGD, Adam

_SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}
_ADAM: dict[str, Any] = {"lr": 0.1, "betas": (0.5, 0.999), "weight_decay": 1e-3}


@pytest.mark.parametrize(
    ("own", "of_torch", "options"), [(SGD, torch.optim.SGD, _SGD), (Adam, torch.optim.Adam, _ADAM)]
)
def test_they_are_torchs_to_the_bit(
    own: type[torch.optim.Optimizer], of_torch: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2)]
    pair = [kind([weight], **options) for kind, weight in zip((own, of_torch), weights, strict=True)]
    for number in range(1, 5):
        for optimizer, weight in zip(pair, weights, strict=True):
            (weight * torch.arange(7.0)).square().sum().div(number).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if number == 2:  # and their states fit each other
            pair[0].load_state_dict(copy.deepcopy(pair[1].state_dict()))
    assert torch.equal(*weights) and weights[0].grad is None
    left, right = (optimizer.state_dict() for optimizer in pair)
    assert left["param_groups"] == right["param_groups"]


def test_a_step_does_not_load_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from snt_zoo.search.optimizers import SGD, Adam\n"
        "for kind in (SGD, Adam):\n"
        "    weight = torch.nn.Parameter(torch.ones(2))\n"
        "    optimizer = kind([weight], lr=0.1)\n"
        "    weight.sum().backward()\n"
        "    optimizer.step()\n"
        "    optimizer.zero_grad(set_to_none=True)\n"
        "    optimizer.load_state_dict(optimizer.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
