"""Networks of all sizes of a supernet."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from snt_zoo.networks.bounds import Limits, derived_size
from snt_zoo.networks.latency.table import random_genotypes
from snt_zoo.networks.spread import spread
from snt_zoo.networks.supernet import Supernet
from tests.conftest import TINY, MakeSupernet


def macs(supernet: Supernet, count: int, seed: int = 0) -> list[int]:
    return [derived_size(supernet.config, genotype)[1] for genotype in spread(supernet, count, seed=seed)]


@pytest.mark.parametrize("space", sorted(TINY))
def test_they_are_different_in_order_and_reach_further_than_random_ones(
    space: str, make_supernet: MakeSupernet
) -> None:
    supernet = make_supernet(TINY[space])
    found = spread(supernet, 16)
    paths = {repr(supernet.space.pruned(supernet.space.choice(genotype))) for genotype in found}
    assert len(found) == len(paths) == 16
    assert supernet.genotype() in found
    sizes = macs(supernet, 16)
    assert sizes == sorted(sizes)
    drawn = [derived_size(supernet.config, each)[1] for each in random_genotypes(supernet.space, 16)]
    assert sizes[0] <= min(drawn) and sizes[-1] >= max(drawn)


@pytest.mark.parametrize("space", sorted(TINY))
def test_alphas_can_stand_for_each(space: str, make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY[space])
    for genotype in spread(supernet, 6):
        other = copy.deepcopy(supernet)
        other.commit(genotype)
        assert other.genotype() == genotype


@pytest.mark.parametrize("space", sorted(TINY))
def test_alphas_can_stand_for_one_after_another(space: str, make_supernet: MakeSupernet) -> None:
    """As those of a supernet that is finetuned again and again."""
    supernet = make_supernet(TINY[space])
    genotypes = spread(supernet, 4)
    for genotype in genotypes * 5:
        supernet.commit(genotype)
        assert supernet.genotype() == genotype


def test_all_are_within_the_bound(make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY["nas_bench_201"])
    free = macs(supernet, 12)
    most = (free[0] + free[-1]) // 2
    supernet.bound = Limits(max_macs=most).bound(supernet.config)
    bounded = macs(supernet, 12)
    assert max(bounded) <= most and min(bounded) == free[0]


def test_the_seed_decides_and_one_is_the_own(make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY["nas_bench_201"])
    assert spread(supernet, 8, seed=1) == spread(supernet, 8, seed=1) != spread(supernet, 8, seed=2)
    assert spread(supernet, 1) == [supernet.genotype()]
    assert supernet.config == replace(TINY["nas_bench_201"])  # it is not changed
