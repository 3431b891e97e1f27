from __future__ import annotations

import pytest
import torch
from torch import nn

from snt_zoo.networks.initialise import initialise


def network() -> nn.ModuleDict:
    stack = nn.Conv2d(4 * 32, 4 * 64, 3, groups=4, bias=False)
    stack.copies = 4
    alphas = nn.ParameterDict({"cell": nn.Parameter(torch.ones(60, 50))})
    layers = {"conv": nn.Conv2d(32, 64, 3), "stack": stack, "linear": nn.Linear(100, 30)}
    return nn.ModuleDict({**layers, "norm": nn.BatchNorm2d(3), "alphas": alphas})


def test_everything_is_set_by_the_generator_alone() -> None:
    made = []
    for seed in (1, 1, 2):
        net = network()
        with torch.no_grad():
            for tensor in net.state_dict().values():
                tensor.fill_(7)
        initialise(net, generator=torch.Generator().manual_seed(seed))
        made.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
    assert not any((tensor == 7).any() for tensor in made[0].values())
    assert not torch.equal(made[0]["conv.weight"], made[2]["conv.weight"])


def test_each_kind_of_layer_has_its_law() -> None:
    net = network().requires_grad_(False)
    initialise(net, generator=torch.Generator().manual_seed(0))
    fan_out = 64 * 9
    for name in ("conv", "stack"):  # a convolution in a stack is drawn as if it were alone
        assert float(net[name].weight.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    weight = net["linear"].weight
    assert float(weight.abs().max()) == pytest.approx(0.1, rel=0.01) and float(weight.abs().max()) <= 0.1
    assert not net["conv"].bias.any() and not net["linear"].bias.any()
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(net["norm"].eval()(images), images, rtol=1e-4, atol=1e-4)
    assert float(net["alphas"]["cell"].std()) == pytest.approx(1e-3, rel=0.1)
