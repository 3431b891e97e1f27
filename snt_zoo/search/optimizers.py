"""SGD and Adam of torch, without its compiler.

An optimizer of torch imports the compiler when it is made, as some methods are kept from being compiled. That
takes 1.2 s of processor time in each run, and nothing here is compiled. So the methods are taken as they were
written.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch


def _plain(kind: type[torch.optim.Optimizer], method: str) -> Any:
    return inspect.unwrap(getattr(kind, method))


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`, to the bit."""

    add_param_group = _plain(torch.optim.SGD, "add_param_group")
    state_dict = _plain(torch.optim.SGD, "state_dict")
    load_state_dict = _plain(torch.optim.SGD, "load_state_dict")
    zero_grad = _plain(torch.optim.SGD, "zero_grad")
    step = torch.no_grad()(_plain(torch.optim.SGD, "step"))


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, to the bit."""

    add_param_group = _plain(torch.optim.Adam, "add_param_group")
    state_dict = _plain(torch.optim.Adam, "state_dict")
    load_state_dict = _plain(torch.optim.Adam, "load_state_dict")
    zero_grad = _plain(torch.optim.Adam, "zero_grad")
    step = torch.no_grad()(_plain(torch.optim.Adam, "step"))
