"""A network of finite weights that computes no numbers is refused before it is taken in."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snt_zoo.errors import NonFiniteError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.networks.trial import check_forward
from tests.conftest import TINY, MakeSupernet

HUGE = 3e38  # finite in float32, whose largest number is 3.4e38


@pytest.mark.parametrize("space", TINY)
def test_a_good_network_stays_as_it_is(space: str, make_supernet: MakeSupernet) -> None:
    net = make_supernet(TINY[space]).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    check_forward(net, what="x")
    check_forward(DerivedModel.inherit(net), what="x")
    assert not net.training
    assert all(tensor.equal(before[name]) for name, tensor in net.state_dict().items())


def first(net: Supernet, kind: type[torch.nn.Module]) -> torch.nn.Module:
    return next(module for module in net.modules() if isinstance(module, kind))


def weights(net: Supernet) -> Tensor:
    return next(p for p in net.trunk.parameters() if p.dim() == 4)


def spread(net: Supernet) -> Tensor:
    norm = first(net, torch.nn.BatchNorm2d)
    assert isinstance(norm, torch.nn.BatchNorm2d) and norm.running_var is not None
    return norm.running_var


def scale(net: Supernet) -> Tensor:
    norm = first(net, torch.nn.BatchNorm2d)
    assert isinstance(norm, torch.nn.BatchNorm2d)
    return norm.weight


SPOILT: dict[str, Callable[[Supernet], object]] = {
    "a convolution": lambda net: weights(net).fill_(HUGE),
    "of both signs": lambda net: weights(net).copy_(weights(net).sign() * HUGE),
    "a scale": lambda net: scale(net).fill_(HUGE),
    "a variance below zero": lambda net: spread(net).fill_(-1.0),
    "the head": lambda net: net.head.weight.fill_(HUGE),
    "every operation": lambda net: [p.fill_(HUGE) for p in net.trunk.parameters() if p.dim() == 4],
}


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "mobile"])
@pytest.mark.parametrize("what", SPOILT)
def test_finite_weights_that_overflow(what: str, space: str, make_supernet: MakeSupernet) -> None:
    net = make_supernet(TINY[space]).eval()
    with torch.no_grad():
        SPOILT[what](net)
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())
    with pytest.raises(NonFiniteError, match=r"model\.safetensors: .*overflow") as caught:
        check_forward(net, what="model.safetensors")
    assert "\n" not in str(caught.value)


def test_an_operation_beside_the_path(make_supernet: MakeSupernet) -> None:
    """A search would meet it, though no head does."""
    net = make_supernet(TINY["nas_bench_201"]).eval()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    used = net.features(images)
    for parameter in (p for p in net.trunk.parameters() if p.dim() == 4):
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.fill_(HUGE)
            if net.features(images).equal(used):
                break
            parameter.copy_(kept)
    assert net.features(images).equal(used) and any(p.max() == HUGE for p in net.trunk.parameters())
    with pytest.raises(NonFiniteError):
        check_forward(net, what="x")


def test_a_member_of_an_ensemble_and_its_weights(make_supernet: MakeSupernet) -> None:
    members = [DerivedModel.inherit(make_supernet(TINY["nas_bench_201"], seed=seed)) for seed in (0, 1)]
    good = Ensemble(members, torch.tensor([0.5, 0.5])).eval()
    check_forward(good, what="x")
    with pytest.raises(NonFiniteError):
        check_forward(Ensemble(members, torch.tensor([HUGE, HUGE])).eval(), what="x")
    with torch.no_grad():
        members[1].head.weight.fill_(HUGE)
    with pytest.raises(NonFiniteError):
        check_forward(Ensemble(members, torch.tensor([0.5, 0.5])).eval(), what="x")


def test_the_pass_takes_a_bounded_time() -> None:
    """Large images, or many weights: seconds at most."""
    configs = [
        NetworkConfig("nas_bench_201", {"channels": 8}, 3, 512),
        NetworkConfig("nas_bench_201", {"channels": 160}, 3, 64),
    ]
    for config in configs:
        net = Supernet.create(config, generator=torch.Generator().manual_seed(0)).eval()
        began = time.process_time()
        check_forward(net, what="x")
        assert time.process_time() - began < 20
