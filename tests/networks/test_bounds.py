"""Costs equal what networks have, the best genotype is the best, and bounds are kept everywhere."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.errors import InfeasibleError
from snt_zoo.networks.bounds import Limits, derived_size
from snt_zoo.networks.spaces import Bound, Costs, darts, get_space, nas_bench_201
from snt_zoo.networks.spaces.nas_bench_201.layout import cell_of, live
from snt_zoo.networks.spaces.solving import Rule, best_choice
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers.gdas import PathSearcher
from tests.conftest import TINY
from tests.networks.spaces.cases import random_mixture
from tests.search.cases import make_searcher
from tests.search.runs import pretrain


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


def test_the_integer_programme_finds_what_trying_everything_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 3), "b": (2, 4)}
    for seed in range(6):
        scores = {k: torch.randn(*shape, generator=generator) for k, shape in shapes.items()}
        params, macs = (
            {k: torch.randint(0, 50, shape, generator=generator) for k, shape in shapes.items()}
            for _ in range(2)
        )
        costs = Costs(7, 11, params, macs)
        bound = Bound(costs, max_params=7 + 60 + 10 * seed, max_macs=11 + 90)
        # At most one of kind a's edges may take its first operation.
        first = torch.zeros(3, 3)
        first[:, 0] = 1
        rule = Rule({"a": first}, 0, 1)
        best, best_score = None, -float("inf")
        for flat in itertools.product(range(3), range(3), range(3), range(4), range(4)):
            choice = {"a": list(flat[:3]), "b": list(flat[3:])}
            if not bound.allows(choice) or choice["a"].count(0) > 1:
                continue
            total = sum(float(scores[k][r, i]) for k, path in choice.items() for r, i in enumerate(path))
            if total > best_score:
                best, best_score = choice, total
        assert best_choice(scores, bound, [rule]) == best
    nothing = Bound(costs, max_params=6)
    assert best_choice(scores, nothing) is None
    tight = min(sum(p) for p in itertools.product(*[r.tolist() for t in params.values() for r in t]))
    assert best_choice(scores, Bound(costs, max_params=7 + tight)) is not None
    assert best_choice(scores, Bound(costs, max_params=7 + tight - 1)) is None


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


def test_only_paths_within_the_bound_are_sampled_once_warm(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    assert isinstance(searcher, PathSearcher)
    net = searcher.supernet
    space = net.space
    costs = space.costs(16)
    net.bound = Bound(costs, max_macs=costs.fixed_macs + int(costs.macs["cell"][0].max()))

    def allowed() -> list[bool]:
        paths = [searcher._sample()[1] for _ in range(60)]
        assert net.bound is not None
        return [net.bound.allows(space.pruned(path)) for path in paths]

    searcher.progress = 0.0
    assert not all(allowed())
    searcher.progress = 1.0
    assert all(allowed())
    assert len({tuple(searcher._sample()[1]["cell"]) for _ in range(60)}) > 10  # it still explores


def test_the_penalty_is_on_the_expected_macs_above_the_bound(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", TINY["nas_bench_201"], few_digits, macs_penalty=0.5)
    net = searcher.supernet
    assert float(searcher.penalty()) == 0.0  # without a bound
    with torch.no_grad():
        net.alphas["cell"].normal_(generator=torch.Generator().manual_seed(0))
    costs = net.space.costs(16)
    probabilities = net.alphas["cell"].softmax(1)
    expected = costs.fixed_macs + (probabilities * costs.macs["cell"]).sum()
    net.bound = Bound(costs, max_macs=int(expected) // 2)
    torch.testing.assert_close(searcher.penalty(), 0.5 * (expected / net.bound.max_macs).log())
    before = float(expected.detach())
    for _ in range(30):
        (slope,) = torch.autograd.grad(searcher.penalty(), searcher.alphas)
        with torch.no_grad():
            net.alphas["cell"] -= 0.5 * slope
    after = costs.fixed_macs + (net.alphas["cell"].softmax(1) * costs.macs["cell"]).sum()
    assert float(after.detach()) < 0.95 * before
    net.bound = Bound(costs, max_macs=10**9)
    assert float(searcher.penalty()) == 0.0


def test_a_pretrained_supernet_keeps_its_bound_when_it_is_stored(few_digits: ImageDataset) -> None:
    config = TINY["nas_bench_201"]
    costs = config.build_space().costs(16)
    limits = Limits(max_macs=costs.fixed_macs + 64 * 10 + int(costs.macs["cell"][0].max()))
    made = pretrain(
        few_digits, config, budget=Budget(epochs=1), recipe=Recipe(batch_size=64), limits=limits, device="cpu"
    )
    stored = Supernet(made.supernet.config)
    stored.load_state_dict(made.supernet.state_dict())
    assert stored.bound is None
    assert derived_size(stored.config, stored.genotype())[1] <= limits.max_macs  # type: ignore[operator]
    assert made.search["constraints"]["macs"] == derived_size(stored.config, stored.genotype())[1]
