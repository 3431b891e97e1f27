"""Among all networks of all supernets: who is shortlisted, and whether the best are among them.

Part of `benchmarks.inner_networks`, which has the rows. What ranks has learned from other parents alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks.learned_figures import figures
from benchmarks.learned_space.contrastive import Settings
from benchmarks.learned_world import Truth, World
from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.encoders.predictor import Predictor
from snt_zoo.networks.variants import OWN

FIRST = 32
"""Networks of a shortlist, as the product's has supernets."""
DRAWS = 20
"""Orders of what a ranking takes for equal, whose figures are averaged."""


def asked(world: World) -> list[NetworkFacts]:
    """All networks as the predictor is asked about them: one that is not its supernet's own has been measured
    by nobody, and is none that was seen."""
    return [
        facts if kind == OWN else replace(facts, digest=f"{facts.digest}/{kind}", accuracy=None)
        for (_, kind), facts in zip(world.networks.keys, world.networks.facts, strict=True)
    ]


def predicted(world: World, row: int) -> Tensor:
    """Accuracies of all networks on a whole dataset, by a predictor that knows no relative: float64 ``n``."""
    free = torch.tensor([parent != world.parent[row] for parent in world.parent])
    kept = free.nonzero().flatten().tolist()
    near = world.nearest(world.to_sources)
    predictor = Predictor.fit(
        [world.tasks.sketches[world.whole[r]] for r in kept],
        [world.parent[r] for r in kept],
        [world.networks.facts[n] for n in world.own],
        world.heads[free],
        world.asked[free],
        near[free],
        card={},
    )
    supernet = {world.networks.keys[n][0]: column for column, n in enumerate(world.own)}
    distances = [float(near[row, supernet[bundle]]) for bundle, _ in world.networks.keys]
    said = predictor.predict(world.tasks.sketches[world.whole[row]], asked(world), distances)
    assert said is not None
    return torch.tensor([one.accuracy for one in said[:-1]], dtype=torch.float64)


def in_space(world: World, row: int) -> Tensor:
    """Scores of all networks in a contrastive space that knows no relative of the dataset: float64 ``n``."""
    tasks, sources, networks = arms.inputs_of(world)
    space, prior = arms.train_without(world, {world.parent[row]}, Settings())
    with torch.no_grad():
        vectors = space.of_network(networks, space.of_data(sources))
        data = space.of_data(tasks.subset(torch.tensor([world.whole[row]])))
        return space.score(data, vectors, prior)[0].double()


def rankings(world: World, row: int, truth: Truth, said: Tensor) -> dict[str, Tensor]:
    """Scores of all networks on a dataset, higher is better.

    Args:
        world: of the networks.
        row: of the whole dataset.
        truth: what the networks came to.
        said: of `predicted`.
    """
    vectors = torch.stack([embed(sketch) for sketch in world.networks.sketches]).double()
    near = vectors @ world.moments[world.whole[row]]
    moments = torch.stack([near[sources].max() for sources in world.networks.sources])
    own = torch.tensor([kind == OWN for _, kind in world.networks.keys])
    others = [other for other in truth.rows if other != row]
    levels = truth.test[others] - truth.test[others].nanmean(1, keepdim=True)
    return {
        "the predictor": said,
        "the predictor, own networks": said - 9.0 * ~own,
        "the contrastive space": in_space(world, row),
        "moments of the sketch": moments,
        "moments of the sketch, own networks": moments - 9.0 * ~own,
        "multiply-accumulates": torch.tensor([facts.macs for facts in world.networks.facts]).double(),
        "measured on two other datasets": levels.nanmean(0).nan_to_num(-9.0),
        "measured on validation": truth.val[row],
        "at random": torch.zeros(len(own)).double(),
    }


def truth_of(world: World, outcomes: Sequence[Outcome]) -> Truth:
    """What all networks came to on the datasets that are asked about; none that saw a relative."""
    row_of = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    number = {key: n for n, key in enumerate(world.networks.keys)}
    shape = len(world.whole), len(number)
    val, test = (torch.full(shape, torch.nan).double() for _ in range(2))
    for one in outcomes:
        row, n = row_of[one.target], number[one.bundle, one.kind]
        kin = any(world.source_parent[s] == world.parent[row] for s in world.networks.sources[n])
        if one.val is not None and one.test is not None and not kin:
            val[row, n], test[row, n] = one.val, one.test
    return Truth(sorted({row_of[one.target] for one in outcomes}), val, test, ~test.isnan())


def shortlists(world: World, truth: Truth, said: Mapping[int, Tensor]) -> dict[str, Any]:
    """Of each ranking, in the mean over datasets: how many of the best are among the first, and its regrets.

    Args:
        world: of the networks.
        truth: of `truth_of`.
        said: of `predicted`, by row.
    """
    found: dict[str, dict[str, list[float]]] = {}
    generator = torch.Generator().manual_seed(0)
    for row in truth.rows:
        may = truth.may[row].nonzero().flatten()
        best = may[truth.test[row, may] >= truth.test[row, may].sort(descending=True).values[2]]
        for name, score in rankings(world, row, truth, said[row]).items():
            equal = torch.unique(score, return_inverse=True)[1].double()
            for _ in range(DRAWS):
                drawn = equal + 0.5 * torch.rand(len(equal), generator=generator).double()
                first = may[drawn[may].argsort(descending=True)[:FIRST]]
                figure = figures(truth, row, drawn)
                figure["recall"] = float(torch.isin(best, first).double().mean())
                for key in ("recall", "regret@1", "regret@3", "hit@1", "hit@3", "tau"):
                    found.setdefault(name, {}).setdefault(key, []).append(figure[key])
    return {
        name: {key: round(float(np.mean(values)), 3) for key, values in each.items()}
        for name, each in found.items()
    }
