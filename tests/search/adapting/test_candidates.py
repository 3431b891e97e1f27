from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.errors import InfeasibleError, UnknownComponentError
from snt_zoo.networks.bounds import Limits
from snt_zoo.search.adapting.candidates import SCRATCH, Candidate
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY, MakeSupernet
from tests.search.runs import CONFIG

TRANSFER = Recipe.for_transfer()


def test_the_recipe_is_that_of_the_source_but_for_the_changes(make_supernet: MakeSupernet) -> None:
    for source, expected in (
        (CONFIG, Recipe()),
        (make_supernet(CONFIG), TRANSFER),
        (make_supernet(TINY["mobile"]), replace(TRANSFER, derived_lr=0.03, average=0.9)),
    ):
        assert Candidate.of("x", source).recipe == expected
        assert Candidate.of("x", source, {"batch_size": 8}).recipe == replace(expected, batch_size=8)
    with pytest.raises(UnknownComponentError, match="choose one of darts"):
        Candidate.of(SCRATCH, CONFIG, {"searcher": "luck"})


def test_it_starts_with_what_its_source_knows_and_a_head_of_the_task(
    make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    source = make_supernet(replace(CONFIG, num_classes=7))
    candidate = Candidate.of("x", source, macs=1000)
    first, again = (candidate.start(few_digits, Limits(), 3, torch.device("cpu")) for _ in range(2))
    assert torch.equal(first.head.weight, again.head.weight) and first.head.out_features == 10
    trunk = source.trunk.state_dict()
    assert all(torch.equal(tensor, trunk[name]) for name, tensor in first.trunk.state_dict().items())
    assert first.genotype() == source.genotype() and first.trunk is not source.trunk
    with pytest.raises(InfeasibleError, match="at most 10 MACs"):
        candidate.start(few_digits, Limits(max_macs=10), 3, torch.device("cpu"))


def test_a_head_costs_what_the_passes_through_the_network_take() -> None:
    plain, darts = (Candidate.of(SCRATCH, TINY[space], macs=1000) for space in ("nas_bench_201", "darts"))
    assert plain.cost is not None and darts.cost is not None and darts.cost > plain.cost
    assert replace(plain, macs=2000).cost == 2 * plain.cost and replace(plain, macs=None).cost is None
