"""SGD, Adam and AdamW of torch, without its compiler.

An optimizer of torch imports the compiler when it is made, as some methods are kept from being compiled. That
takes 1.2 s of processor time in each run, and nothing here is compiled. So the methods are taken as they were
written.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from snt_zoo.errors import UnknownComponentError
from snt_zoo.search.recipe import Recipe


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


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, to the bit."""

    add_param_group = _plain(torch.optim.AdamW, "add_param_group")
    state_dict = _plain(torch.optim.AdamW, "state_dict")
    load_state_dict = _plain(torch.optim.AdamW, "load_state_dict")
    zero_grad = _plain(torch.optim.AdamW, "zero_grad")
    step = torch.no_grad()(_plain(torch.optim.AdamW, "step"))


def of_weights(recipe: Recipe, parameters: list[torch.nn.Parameter], *, rate: float) -> torch.optim.Optimizer:
    """The optimizer of a recipe for the weights of a network.

    Raises:
        UnknownComponentError: no such optimizer.
    """
    if recipe.optimizer == "adamw":
        return AdamW(parameters, lr=rate, weight_decay=recipe.weight_decay)
    if recipe.optimizer != "sgd":
        raise UnknownComponentError(f"no optimizer is named {recipe.optimizer!r}: choose sgd or adamw")
    return SGD(parameters, lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True)
