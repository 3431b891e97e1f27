from __future__ import annotations

import itertools

import torch

from snt_zoo.networks.spaces import Bound, Costs
from snt_zoo.networks.spaces.solving import Rule, best_choice


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
