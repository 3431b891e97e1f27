"""Costs equal what networks have, the best genotype is the best, and bounds are kept everywhere."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from snt_zoo.errors import InfeasibleError, LatencyTableError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.spaces import Bound, Costs, darts, get_space, nas_bench_201
from snt_zoo.networks.spaces.nas_bench_201.layout import cell_of, live
from snt_zoo.networks.supernet import NetworkConfig
from tests.networks.cases import random_mixture
from tests.networks.latency.making import made_up


def test_the_best_cell_of_nas_bench_201_is_the_best_of_all() -> None:
    space = get_space("nas_bench_201", channels=4)
    costs = space.costs(16)
    scores = {kind: table.log() for kind, table in random_mixture(space, 1).items()}
    limit = costs.fixed_macs + int(costs.macs["cell"][0].max()) + 1000
    bound = Bound(costs, max_macs=limit)
    generator = torch.Generator().manual_seed(0)
    best = space.best_genotype(scores, bound)
    assert best is not None

    def score(choice: tuple[int, ...]) -> float:
        return sum(float(scores["cell"][row, index]) for row, index in enumerate(choice))

    mine = score(tuple(space.choice(best)["cell"]))
    beaten, tied = 0, 0
    everything = list(itertools.product(range(5), repeat=6))
    for index in torch.randperm(len(everything), generator=generator)[:3000].tolist():
        choice = everything[index]
        edges = live(cell_of(choice))
        computing = sum(edge.operation not in ("none", "skip_connect") for edge in edges)
        if computing >= 3 and bound.allows(space.pruned({"cell": choice})):
            beaten += score(choice) <= mine
            tied += score(choice) > mine
    assert beaten > 100 and tied == 0
    assert bound.allows(space.pruned(space.choice(best)))


def test_darts_cells_within_a_bound_keep_the_spaces_rules() -> None:
    space = get_space("darts", channels=4, cells=3)
    costs = space.costs(16)
    mixture = random_mixture(space, 3)
    mixture["normal"][:, darts.SKIP] += 2.0
    loose = space.discretise(mixture)
    macs = costs.of(space.choice(loose))[1]
    bound = Bound(costs, max_macs=(macs + costs.fixed_macs) // 2)
    best = space.derive(mixture, bound)
    assert bound.allows(space.choice(best)) and not bound.allows(space.choice(loose))
    assert space.derive(mixture, Bound(costs, max_macs=macs)) == loose  # the paper's rule where it may

    def score(genotype: object) -> float:
        return sum(
            float(mixture[kind][darts.EDGES.index(edge[:2]), darts.OPERATIONS.index(edge.operation)].log())
            for kind, edges in genotype.cells.items()  # type: ignore[attr-defined]
            for edge in edges
        )

    for cell in best.cells.values():
        assert [edge.target for edge in cell] == [2, 2, 3, 3, 4, 4, 5, 5]
        assert sum(edge.operation == "skip_connect" for edge in cell) <= darts.MAX_SKIPS
    others = []
    for seed in range(200):
        cheap = random_mixture(space, seed)
        for table in cheap.values():
            table[:, 1:4] += 0.1  # pooling and skips
        others.append(space.discretise(cheap))
    allowed = [genotype for genotype in others if bound.allows(space.choice(genotype))]
    assert len(allowed) > 5 and all(score(genotype) < score(best) for genotype in allowed)


def test_a_bound_on_the_latency_needs_a_table() -> None:
    with pytest.raises(LatencyTableError, match="bench --table"):
        Limits(max_latency=0.01)
    config = NetworkConfig("nas_bench_201", {"channels": 4}, 10, 16)
    limits = Limits(max_latency=0.01, table=made_up(config))
    other = replace(config, input_size=24)
    with pytest.raises(InfeasibleError, match="at 24 pixels"):
        limits.bound(other)
    genotype = config.build_space().discretise(random_mixture(config.build_space(), 0))
    assert limits.allow([(config, genotype)])
    assert not limits.allow([(other, genotype)])
    assert not limits.allow([(config, genotype)] * 10_000)  # they answer together
    assert str(limits) == "at most 10 ms"
    assert limits.to_json()["max_latency"] == 0.01
    assert Limits(5, 6).to_json() == {"max_params": 5, "max_macs": 6}


def test_bounds_that_only_together_cannot_be_met_say_so() -> None:
    config = NetworkConfig("nas_bench_201", {"channels": 4}, 10, 16)
    space = config.build_space()
    real = space.costs(16)
    # In this space parameters and MACs fall together; so let the pooling of each edge cost MACs alone.
    macs = {"cell": real.macs["cell"].clone()}
    macs["cell"][:, 4] = 10**6
    macs["cell"][:, 2] = 10
    bound = Bound(replace(real, macs=macs), max_params=real.fixed_params, max_macs=real.fixed_macs + 100)
    free = {"cell": torch.zeros(6, 5)}
    assert space.best_genotype(free, Bound(bound.costs, max_params=bound.max_params)) is not None
    assert space.best_genotype(free, Bound(bound.costs, max_macs=bound.max_macs)) is not None
    assert space.best_genotype(free, bound) is None

    class Odd(nas_bench_201.NasBench201):
        def costs(self, input_size: int) -> Costs:
            return bound.costs

    odd = Odd(channels=4)
    head = odd.feature_dim * 10
    limits = Limits(bound.max_params + head + 10, bound.max_macs + head)  # type: ignore[operator]
    with pytest.raises(InfeasibleError, match="parameters the cheapest has 3,1"):
        limits._check(config, odd, bound)
