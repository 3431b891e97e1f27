"""Blocks with fixed norms, by the kernels and without them, against the plain layers."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.networks import kernels
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.spaces.mobile import normed
from snt_zoo.networks.supernet import NetworkConfig, Supernet

SMALL = {"width": 50, "depth": 50, "halvings": 3, "features": 40}


def network(lite: int, dtype: torch.dtype = torch.float64) -> DerivedModel:
    """With norms that have seen something."""
    config = NetworkConfig("mobile", {**SMALL, "lite": lite}, 5, 33)
    made = DerivedModel.inherit(Supernet.create(config, generator=torch.Generator().manual_seed(lite)))
    draw = torch.Generator().manual_seed(7)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3, generator=draw)
            norm.running_var.uniform_(0.5, 2, generator=draw)
            norm.weight.data.uniform_(0.5, 1.5, generator=draw)
            norm.bias.data.normal_(0, 0.3, generator=draw)
    return made.to(dtype)


def step(model: DerivedModel) -> list[Tensor]:
    """Loss and gradients of a batch."""
    dtype = next(model.parameters()).dtype
    images = torch.randn(4, 3, 33, 33, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = functional.cross_entropy(model(images.to(dtype)), torch.tensor([0, 1, 2, 3]))
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


def plainly(function: Callable[[], list[Tensor]]) -> list[Tensor]:
    """What a function gives by PyTorch's layers alone, one after the other."""
    with kernels.without(), patch.object(normed, "fixed", lambda norm: False):
        return function()


@pytest.mark.parametrize("lite", [0, 1])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_equals_that_of_the_plain_layers(lite: int, training: bool, compiled: bool) -> None:
    if compiled and not kernels.available():
        pytest.skip("no C++ compiler, no kernels")
    model = network(lite).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = plainly(lambda: step(model))
    statistics = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(before)
    if compiled:
        found = step(model)
    else:
        with kernels.without():
            found = step(model)
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, statistics[name], rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(not kernels.available(), reason="no C++ compiler, no kernels")
def test_a_step_in_bfloat16_goes_the_same_way() -> None:
    model = network(1, torch.float32).eval()
    wanted = plainly(lambda: step(model))
    with patch.object(normed, "quick_dtype", lambda device: torch.bfloat16):
        found = step(model)
    assert found[0] == pytest.approx(float(wanted[0]), abs=0.02)
    left, right = (torch.cat([part.flatten() for part in parts[1:]]) for parts in (found, wanted))
    assert left.dtype == torch.float32
    assert float(functional.cosine_similarity(left, right, dim=0)) > 0.98
    assert not torch.equal(left, right)


def test_an_evaluation_stays_in_float32_and_as_it_was() -> None:
    model = network(0, torch.float32).eval()
    images = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), patch.object(normed, "quick_dtype", lambda device: torch.bfloat16):
        torch.testing.assert_close(model(images), plainly(lambda: [model(images)])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_is_in_bfloat16_as_a_whole_has_no_kernels(training: bool) -> None:
    model = network(1, torch.bfloat16).eval()
    images = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.set_grad_enabled(training):
        found = model(images)
    wanted = model.float()(images.float())
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)
