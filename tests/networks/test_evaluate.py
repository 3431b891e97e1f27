"""Accuracy, cost and batch-norm statistics, against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import (
    count_macs,
    count_parameters,
    evaluate,
    evaluation_batch,
    network_batches,
    predict,
    recalibrate,
)
from snt_zoo.networks.head import fit_head
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.conftest import TINY, MakeSupernet


def test_probabilities_sum_to_one(make_supernet: MakeSupernet, digits: ImageDataset) -> None:
    net = make_supernet(TINY["darts"])
    scores = predict(net, digits.test.subset(torch.arange(5)).tensor(16))
    assert scores.shape == (5, 10)
    torch.testing.assert_close(scores.sum(1), torch.ones(5))


def test_macs_of_a_network_counted_by_hand() -> None:
    net = Supernet.create(
        NetworkConfig("nas_bench_201", {"channels": 4}, 10, 16), generator=torch.Generator()
    )
    with torch.no_grad():
        net.alphas["cell"].zero_()
        net.alphas["cell"][:, 3] = 5.0  # 3×3 convolutions on all six edges
    derived = DerivedModel.inherit(net)
    expected = 16 * 16 * 3 * 4 * 9  # stem
    for side, width in ((16, 4), (8, 8), (4, 16)):
        expected += 6 * side * side * width * width * 9
    for side, width in ((8, 4), (4, 8)):  # reductions: two 3×3 convolutions and a 1×1 shortcut
        expected += side * side * (width * 2 * width * 9 + 4 * width * width * 9 + width * 2 * width)
    expected += 16 * 10
    assert count_macs(derived) == expected
    assert count_macs(net) > expected  # every operation of every edge
    assert count_parameters(derived) == sum(p.numel() for p in derived.parameters())
    assert count_parameters(net) == sum(p.numel() for p in net.parameters()) - 30


@pytest.mark.parametrize("derived", [False, True])
def test_recalibration_measures_the_mean_of_the_batches(
    make_supernet: MakeSupernet, digits: ImageDataset, derived: bool
) -> None:
    supernet = make_supernet(TINY["nas_bench_201"])
    net: Supernet | DerivedModel = DerivedModel.inherit(supernet) if derived else supernet
    split = digits.train.subset(torch.arange(512))
    stem = net.trunk.stem[0]  # type: ignore[index]
    means = [stem(images).mean((0, 2, 3)) for images, _ in network_batches(net, split)]
    weights = [p.detach().clone() for p in net.parameters()]
    net.eval()
    recalibrate(net, split, max_images=512)
    found = net.trunk.stem[1].running_mean  # type: ignore[index]
    torch.testing.assert_close(found, torch.stack(means).mean(0), atol=1e-4, rtol=1e-3)
    assert not net.training
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    recalibrate(net, split, max_images=512)
    for key, value in net.state_dict().items():
        if "tracked" not in key:
            torch.testing.assert_close(
                value, before[key], atol=1e-4, rtol=1e-3
            )  # measuring again finds the same


def test_recalibration_repairs_wrong_statistics(make_supernet: MakeSupernet, digits: ImageDataset) -> None:
    net = make_supernet(TINY["nas_bench_201"])
    recalibrate(net, digits.train)
    fit_head(net, digits.train)
    good = evaluate(net, digits.val)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.add_(3.0)  # type: ignore[union-attr, operator]
    assert evaluate(net, digits.val) < good - 0.2
    recalibrate(net, digits.train)
    assert evaluate(net, digits.val) == pytest.approx(good, abs=0.02)


@pytest.mark.parametrize(
    ("space", "size", "images"),
    [
        ("nas_bench_201", 16, 256),
        ("nas_bench_201", 32, 256),
        ("nas_bench_201", 64, 64),
        ("nas_bench_201", 512, 8),
        ("mobile", 32, 128),
        ("mobile", 64, 32),
        ("mobile", 96, 14),
    ],
)
def test_fewer_of_larger_images_go_through_at_once(space: str, size: int, images: int) -> None:
    config = replace(TINY[space], input_size=size)
    assert evaluation_batch(Supernet.create(config, generator=torch.Generator())) == images
