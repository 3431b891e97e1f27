"""What is the searcher `sandwich`'s alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from snt_zoo.data import ImageDataset
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import begin_on, fit_head
from snt_zoo.networks.spaces.mobile import CHAIN, SKIP, operation_index
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.searchers.sandwich import SandwichSearcher, distillation, extreme_path, relative_error
from tests.conftest import TINY

from .cases import batch, make_searcher


def test_the_largest_and_the_smallest_path_of_mobile() -> None:
    space = TINY["mobile"].build_space()
    largest = extreme_path(space, 16, largest=True)[CHAIN]
    smallest = extreme_path(space, 16, largest=False)[CHAIN]
    assert set(largest) == {operation_index(6, 7)}
    assert set(smallest) <= {operation_index(3, 3), SKIP}
    assert smallest.count(SKIP) <= len(smallest) // 2


@pytest.mark.parametrize("largest", [True, False])
def test_no_path_is_beyond_the_extreme_ones(largest: bool) -> None:
    space = TINY["nas_bench_201"].build_space()
    (costs,) = space.costs(16).macs.values()

    def macs(path: object) -> int:
        ((_, choice),) = space.pruned(path).items()  # type: ignore[arg-type]
        return int(sum(costs[row, index] for row, index in enumerate(choice)))

    extreme = macs(extreme_path(space, 16, largest=largest))
    (kind,) = space.edges
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):  # random genotypes by the space's rule
        table = torch.rand(costs.shape, generator=generator)
        found = macs(space.choice(space.discretise({kind: table})))
        assert found <= extreme if largest else found >= extreme


def test_distillation_is_a_cross_entropy_in_each_head() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 9, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 9, (8,), generator=generator)
    plain = functional.cross_entropy(student, teacher.softmax(1))
    assert torch.allclose(distillation(student, teacher, labels), plain)
    heads, starts = (3, 6), (0, 3)
    total = torch.zeros((), dtype=torch.float64)
    for row, other, label in zip(student, teacher, labels.tolist(), strict=True):
        head = int(label >= 3)
        block = slice(starts[head], starts[head] + heads[head])
        total += -(other[block].softmax(0) * row[block].log_softmax(0)).sum()
    assert torch.allclose(distillation(student, teacher, labels, heads), total / 8)


def test_a_student_that_answers_as_the_teacher_does_has_no_gradient() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    loss = distillation(logits, logits.detach(), torch.zeros(4, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() < 1e-6
    assert relative_error(logits, logits) == 0
    assert relative_error(torch.zeros_like(logits), logits.detach()) == pytest.approx(1.0)


def test_the_anchor_holds_the_teachers_features(few_digits: ImageDataset) -> None:
    images, _ = batch(few_digits, 32)
    moved = {}
    for anchor in (0.0, 5.0):
        searcher = make_searcher("sandwich", TINY["mobile"], few_digits, anchor=anchor, warmup_share=0.0)
        assert isinstance(searcher, SandwichSearcher)
        path = searcher.supernet.choice()
        assert (searcher.teacher == path) == bool(anchor)
        before = searcher.supernet.train().features(images, None, path).detach()
        searcher.epoch(lambda: 0.1)
        searcher.epoch(lambda: 0.1)
        after = searcher.supernet.train().features(images, None, path).detach()
        moved[anchor] = float(relative_error(after, before))
    assert moved[5.0] < 0.7 * moved[0.0]


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
