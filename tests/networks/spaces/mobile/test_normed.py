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

needs_compiler = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler, no kernels")

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


def in_mode(model: DerivedModel, mode: str) -> DerivedModel:
    """Trained with measured norms, trained with fixed ones, or evaluated."""
    model.train(mode != "evaluated")
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.train(mode == "measured")
    return model


def plainly(function: Callable[[], list[Tensor]]) -> list[Tensor]:
    """What a function gives by PyTorch's layers alone, one after the other."""
    with kernels.without():
        return function()


@pytest.mark.parametrize("lite", [0, 1])
@pytest.mark.parametrize("mode", ["measured", "fixed", "evaluated"])
@needs_compiler
def test_a_step_equals_that_of_the_plain_layers(lite: int, mode: str) -> None:
    model = in_mode(network(lite), mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = plainly(lambda: step(model))
    statistics = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(before)
    found = step(model)
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, statistics[name], rtol=1e-9, atol=1e-12)


@needs_compiler
def test_a_step_in_bfloat16_goes_the_same_way() -> None:
    model = in_mode(network(1, torch.float32), "fixed")
    wanted = plainly(lambda: step(model))
    with patch.object(normed, "quick_dtype", lambda device: torch.bfloat16):
        found = step(model)
    assert found[0] == pytest.approx(float(wanted[0]), abs=0.02)
    left, right = (torch.cat([part.flatten() for part in parts[1:]]) for parts in (found, wanted))
    assert left.dtype == torch.float32
    assert float(functional.cosine_similarity(left, right, dim=0)) > 0.98
    assert not torch.equal(left, right)


@pytest.mark.parametrize("mode", ["evaluated", "measured"])
def test_only_training_with_fixed_norms_is_in_bfloat16(mode: str) -> None:
    model = in_mode(network(0, torch.float32), mode)
    images = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1))
    with patch.object(normed, "quick_dtype", lambda device: torch.bfloat16):
        found = model(images)
    torch.testing.assert_close(found, plainly(lambda: [model(images)])[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("lite", [0, 1])
def test_a_supernet_with_fixed_norms_stays_in_float32(lite: int) -> None:
    """And so does a narrow network, whose first block has a residual."""
    config = NetworkConfig("mobile", {**SMALL, "width": 10, "lite": lite}, 5, 33)
    supernet = Supernet.create(config, generator=torch.Generator().manual_seed(0)).train()
    derived = in_mode(DerivedModel.inherit(supernet), "fixed")
    for norm in supernet.modules():
        norm.train(not isinstance(norm, nn.BatchNorm2d))
    images = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1))
    with patch.object(normed, "quick_dtype", lambda device: torch.bfloat16):
        found = [supernet(images, None, supernet.choice()), derived(images)]
        wanted = plainly(lambda: [supernet(images, None, supernet.choice()), derived(images)])
    for left, right in zip(found, wanted, strict=True):
        assert left.dtype == torch.float32
        torch.testing.assert_close(left, right, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("mode", ["fixed", "evaluated"])
def test_a_network_that_is_in_bfloat16_as_a_whole_has_no_kernels(mode: str) -> None:
    model = in_mode(network(1, torch.bfloat16), mode)
    images = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = model(images)
    wanted = model.float()(images.float())
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)


def test_what_is_not_on_a_cpu_has_no_kernels_whatever_its_type() -> None:
    """As under autocast on a GPU, where images are in bfloat16 and weights in float32."""
    model = in_mode(network(1, torch.float32), "fixed").to("meta")
    depthwise, norm = model.trunk.first[0], model.trunk.first[1]
    images = torch.empty(2, 3, 33, 33, device="meta", dtype=torch.bfloat16)
    kernel = patch.object(normed, "_depthwise", side_effect=AssertionError)
    with kernel, torch.autocast("cpu", dtype=torch.bfloat16):
        wide = normed.widened(model.trunk.stem[0], model.trunk.stem[1], depthwise, norm, images)
    assert wide.device.type == "meta" and wide.shape[1] == depthwise.out_channels


@needs_compiler
def test_a_depthwise_convolution_may_have_a_bias_and_no_norm() -> None:
    """As in a backbone, whose norms were made part of the convolutions before."""
    model = in_mode(network(1), "evaluated")
    for block in model.trunk.blocks:
        block.depthwise.bias = nn.Parameter(torch.linspace(-1, 1, block.depthwise.out_channels).double())
        block.depthwise_norm = nn.Identity()
    for left, right in zip(step(model), plainly(lambda: step(model)), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)
