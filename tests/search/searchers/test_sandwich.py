"""What is the searcher `sandwich`'s alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from snt_zoo.data import ImageDataset
from snt_zoo.networks.spaces.mobile import CHAIN, SKIP, operation_index
from snt_zoo.search.searchers.sandwich import SandwichSearcher, distillation, extreme_path, relative_error
from tests.conftest import TINY
from tests.search.cases import batch, make_searcher


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
