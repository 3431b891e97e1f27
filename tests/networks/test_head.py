"""A head for a new task in one pass, and whose batch norms it begins with."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import nn

from snt_zoo.data import ImageDataset
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import begin_on, fit_head
from snt_zoo.networks.supernet import Supernet
from tests.conftest import TINY, MakeSupernet


def test_a_fitted_head_beats_chance_by_far_on_random_features(
    make_supernet: MakeSupernet, digits: ImageDataset
) -> None:
    net = make_supernet(TINY["nas_bench_201"])
    trunk = {k: v.clone() for k, v in net.trunk.state_dict().items()}
    fit_head(net, digits.train)
    assert evaluate(net, digits.val) > 0.5
    assert all(torch.equal(v, trunk[k]) for k, v in net.trunk.state_dict().items())


def test_published_norms_are_kept_where_they_are_better(few_digits: ImageDataset) -> None:
    """Of a space that may hold a published network; decided by validation."""
    config = replace(TINY["mobile"], num_classes=few_digits.num_classes)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    found, which = begin_on(net, few_digits.train, few_digits.val)
    assert found == evaluate(net, few_digits.val)
    kept = all(
        torch.equal(old, norm.running_mean)
        for old, norm in zip(before, norms, strict=True)
        if norm.running_mean is not None
    )
    # The other way, by hand, is no better.
    other = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    assert kept == (which == "published")
    if kept:
        recalibrate(other, few_digits.train)
    fit_head(other, few_digits.train)
    assert evaluate(other, few_digits.val) <= found


def test_for_a_first_comparison_published_norms_are_as_they_came(few_digits: ImageDataset) -> None:
    config = replace(TINY["mobile"], num_classes=few_digits.num_classes)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in net.trunk.state_dict().items()}
    found, _ = begin_on(net, few_digits.train, few_digits.val, norms="published")
    assert found == evaluate(net, few_digits.val)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.trunk.state_dict().items())


def test_wrong_norms_are_measured_again(few_digits: ImageDataset) -> None:
    config = replace(TINY["mobile"], num_classes=few_digits.num_classes)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_var.fill_(1e8)  # nothing gets through
    found, norms = begin_on(net, few_digits.train, few_digits.val)
    means = (m.running_var for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert any(bool((var < 1e7).any()) for var in itertools.chain(means) if var is not None)
    assert found > 0.2 and norms == "measured"
