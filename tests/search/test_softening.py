"""Saturated alphas are softened just enough."""

from __future__ import annotations

import math

import pytest
import torch

from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.softening import soften
from tests.conftest import TINY

CONFIG = TINY["nas_bench_201"]


def make_net() -> Supernet:
    return Supernet.create(CONFIG, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("least", [0.3, 0.7])
def test_saturated_alphas_are_softened_just_enough(least: float) -> None:
    net = make_net()
    with torch.no_grad():
        net.alphas["cell"].normal_(0.0, 9.0, generator=torch.Generator().manual_seed(0))
    order, genotype = net.alphas["cell"].argsort(1), net.genotype()
    before = net.alphas["cell"].detach().clone()
    assert net.entropy() < least
    report = soften(net, least)
    assert net.entropy() == pytest.approx(least, abs=1e-5) == report["entropy_after"]
    torch.testing.assert_close(net.alphas["cell"].detach() * report["temperature"], before)
    assert report["fired"] and report["temperature"] > 1
    assert torch.equal(net.alphas["cell"].argsort(1), order) and net.genotype() == genotype
    again = soften(net, least - 0.01)
    assert (
        not again["fired"]
        and again["temperature"] == 1.0
        and math.isclose(net.entropy(), least, abs_tol=1e-5)
    )
