"""Gradients that conflict are made to agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from snt_zoo.errors import UnknownComponentError
from snt_zoo.search.conflict import check_conflict, combined


def split(vector: torch.Tensor) -> list[torch.Tensor]:
    return [vector[:4].view(2, 2), vector[4:]]


def joined(gradients: Any) -> torch.Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def run(tasks: list[Any], rule: str, *, clip: float = 1e9, seed: int = 0) -> Any:
    return combined(tasks, rule, clip=clip, generator=torch.Generator().manual_seed(seed))


def test_the_rules_agree_where_nothing_conflicts() -> None:
    vectors = torch.eye(6)[:3] + 0.1
    wanted = vectors.mean(0)
    for rule in ("mean", "clip", "pcgrad"):
        assert torch.allclose(joined(run([split(v) for v in vectors], rule)), wanted, atol=1e-6)


def test_of_two_that_conflict_each_loses_what_points_against_the_other() -> None:
    a = torch.tensor([1.0, 0, 0, 0, 0, 0])
    b = torch.tensor([-1.0, 1, 0, 0, 0, 0])
    found = joined(run([split(a), split(b)], "pcgrad"))
    # By hand: a − (a·b/‖b‖²) b = (½, ½), b − (a·b/‖a‖²) a = (0, 1); their mean.
    assert torch.allclose(found, torch.tensor([0.25, 0.75, 0, 0, 0, 0]))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_papers_algorithm(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(4, 6, generator=generator)
    found = joined(run([split(v) for v in vectors], "pcgrad", seed=seed))
    orders = torch.Generator().manual_seed(seed)
    total = torch.zeros(6)
    for i in range(4):
        moved = vectors[i].clone()
        for j in torch.randperm(4, generator=orders).tolist():
            if j != i and moved @ vectors[j] < 0:
                moved = moved - moved @ vectors[j] / vectors[j].norm() ** 2 * vectors[j]
        total += moved / 4
    assert torch.allclose(found, total, atol=1e-6)


def test_a_dataset_with_large_gradients_is_clipped_before_the_mean() -> None:
    large, small = 100 * torch.ones(6), 0.1 * torch.ones(6)
    found = joined(run([split(large), split(small)], "clip", clip=1.0))
    assert torch.allclose(found, (large / large.norm() + small) / 2)


def test_parameters_that_took_no_part_have_no_gradient() -> None:
    g = torch.ones(2)
    found = run([[None, g, None], [g, None, None]], "pcgrad")
    assert found[2] is None
    assert torch.equal(found[0], g / 2) and torch.equal(found[1], g / 2)
    with pytest.raises(UnknownComponentError, match="choose one of mean, clip, pcgrad"):
        check_conflict("vote")


def test_a_single_dataset_keeps_its_gradient() -> None:
    layer = nn.Linear(2, 2)
    gradients = list(torch.autograd.grad(layer(torch.ones(1, 2)).sum(), list(layer.parameters())))
    assert run([gradients], "pcgrad", clip=1e-3) == gradients
