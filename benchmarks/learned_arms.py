"""The ways of ranking networks that `benchmarks.learned` compares; each gives scores, higher is better.

An arm is given the world and a seed, and answers with a table of whole tasks and own networks (`World.own`);
what it says of a task is learned from other parents alone. Those that predict logits of accuracies say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from benchmarks.learned_space.cards import from_cards
from benchmarks.learned_space.contrastive import LearnedSpace, Loss, Settings, Table, train_space
from benchmarks.learned_space.network_encoder import NetworkBatch
from benchmarks.learned_space.set_encoder import SketchBatch
from benchmarks.learned_world import World, logit
from snt_zoo.encoders.distances.base import Source
from snt_zoo.encoders.distances.moments import Frechet, MeanFeature
from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.prior import shrunken_means
from snt_zoo.encoders.target import Target

GROUPS = 5
"""Into which parents are parted for what takes long to train; a group is left out together."""


def each_parent(world: World, learn: Callable[[Tensor], Tensor]) -> Tensor:
    """For each parent what is learned from the rows of the others, put together."""
    out = torch.zeros(len(world.whole), len(world.own)).double()
    for parent in sorted(set(world.parent)):
        own = torch.tensor([each == parent for each in world.parent])
        out[own] = learn(~own)[own]
    return out


def observed(world: World, rows: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Task, network and outcome of what a table has in some rows."""
    task, network = (~table.isnan() & rows[:, None]).nonzero(as_tuple=True)
    return task, network, table[task, network]


def static(world: World, seed: int = 0, *, table: Tensor | None = None) -> Tensor:
    """The shrunken mean of each network over other parents' datasets, by heads or by another table."""
    table = world.heads[:, :-1] if table is None else table

    def learn(rows: Tensor) -> Tensor:
        levels = shrunken_means(*observed(world, rows, table), networks=table.shape[1])
        return levels.expand(len(rows), -1)

    return each_parent(world, learn)


def broadest(world: World, seed: int = 0) -> Tensor:
    """The network that was trained on the most datasets; of equally broad ones the better on average."""
    breadth = torch.tensor([float(len(world.networks.sources[n])) for n in world.own]).double()
    return breadth + 1e-3 * static(world)


def largest(world: World, seed: int = 0) -> Tensor:
    """The most parameters."""
    return world.networks.card[world.own, 0].double().expand(len(world.whole), -1)


def class_ot(world: World, seed: int = 0) -> Tensor:
    """Optimal Transport between classes, the product's ranking."""
    return -world.nearest(world.to_sources)


def embedding(world: World, seed: int = 0) -> Tensor:
    """The vectors that FAISS compares: what makes the shortlist of a query."""
    sources = torch.stack([embed(sketch) for sketch in world.networks.sketches]).double()
    found = world.moments[world.whole] @ sources.T
    return -world.nearest((-found).masked_fill(world.to_sources.isinf(), torch.inf))


def by_moments(kind: type[MeanFeature] | type[Frechet]) -> Callable[[World, int], Tensor]:
    """A simple distance between whole datasets."""

    def arm(world: World, seed: int = 0) -> Tensor:
        sources = [Source("", sketch) for sketch in world.networks.sketches]
        rows = [
            [one.distance for one in kind()(Target(world.tasks.sketches[t]), sources)] for t in world.whole
        ]
        table = torch.tensor(rows).double().masked_fill(world.to_sources.isinf(), torch.inf)
        return -world.nearest(table)

    return arm


def ridge(*columns: str) -> Callable[[World, int], Tensor]:
    """Ridge regression, within a task, on the static mean and distances."""

    def arm(world: World, seed: int = 0) -> Tensor:
        table = world.heads[:, :-1]
        near = class_ot(world)
        near = near.masked_fill(near.isinf(), torch.nan)

        def inputs(levels: Tensor) -> Tensor:
            parts = {"static": levels.expand(len(near), -1), "class-ot": near}
            parts["static x class-ot"] = parts["static"] * near
            z = torch.stack([parts[name] for name in columns], 2)
            z = z.masked_fill(table.isnan()[..., None], torch.nan)
            return (z - z.nanmean(1, keepdim=True)).nan_to_num()

        def learn(rows: Tensor) -> Tensor:
            x, y = [], []
            for parent in sorted({p for p, kept in zip(world.parent, rows.tolist(), strict=True) if kept}):
                # The static mean of a row must not know the row.
                own = torch.tensor([p == parent for p in world.parent])
                levels = shrunken_means(*observed(world, rows & ~own, table), networks=table.shape[1])
                x.append(inputs(levels)[own])
                y.append((table - table.nanmean(1, keepdim=True)).nan_to_num()[own])
            z, target = torch.cat(x).flatten(0, 1), torch.cat(y).flatten()
            weight = torch.linalg.solve(z.T @ z + torch.eye(z.shape[1]), z.T @ target)
            levels = shrunken_means(*observed(world, rows, table), networks=table.shape[1])
            raw = {"static": levels.expand(len(near), -1), "class-ot": near.nan_to_num()}
            raw["static x class-ot"] = raw["static"] * raw["class-ot"]
            found: Tensor = torch.stack([raw[name] for name in columns], 2) @ weight
            return found

        return each_parent(world, learn)

    return arm


# --- the learned space ---


@cache
def inputs_of(world: World) -> tuple[SketchBatch, SketchBatch, NetworkBatch]:
    """Tasks, sources and networks as the encoders take them."""
    tasks = SketchBatch.of(world.tasks.sketches)
    sources = SketchBatch.of(world.networks.sketches)
    bundles = sorted({key[0] for key in world.networks.keys})
    shares = torch.zeros(len(world.networks.keys), len(world.networks.sketches))
    for n, numbers in enumerate(world.networks.sources):
        shares[n, numbers] = 1 / len(numbers)
    ids = torch.tensor([bundles.index(key[0]) for key in world.networks.keys])
    batch = NetworkBatch(world.networks.profiles, world.networks.card, world.networks.topology, shares, ids)
    return tasks, sources, batch


@cache
def table_of(world: World) -> Table:
    """All heads in closed form: every view and every network; not those of networks that saw a relative."""
    task_of, network_of = world.tasks.number, {key: n for n, key in enumerate(world.networks.keys)}
    kin = [{world.source_parent[s] for s in numbers} for numbers in world.networks.sources]
    rows = []
    for one in world.outcomes:
        key = one.target, one.change, one.view
        network = network_of.get((one.bundle, one.kind))
        if one.method != "ridge" or key not in task_of or network is None or one.accuracy is None:
            continue
        task = task_of[key]
        if world.tasks.parent[task] not in kin[network]:
            rows.append((task, network, logit(one.accuracy, one.val_images + one.test_images)))
    tasks, networks, y = zip(*rows, strict=True)
    return Table(torch.tensor(tasks), torch.tensor(networks), torch.tensor(y))


def train_without(
    world: World, group: Collection[str], settings: Settings, loss: Loss | None = None
) -> tuple[LearnedSpace, Tensor]:
    """A space, and the prior of every network, from the outcomes of other parents."""
    tasks, sources, networks = inputs_of(world)
    table = table_of(world)
    outside = torch.tensor([parent not in group for parent in world.tasks.parent])[table.task]
    kept = Table(table.task[outside], table.network[outside], table.y[outside])
    prior = prior_of(world, kept)
    return train_space(kept, tasks, sources, networks, prior, settings, loss), prior


def prior_of(world: World, table: Table) -> Tensor:
    """Of each network, from its card where it was hardly tried."""
    count = len(world.networks.keys)
    y = table.y.double()
    first = shrunken_means(table.task, table.network, y, networks=count, strength=8.0)
    tried = torch.bincount(table.network, minlength=count) > 0
    cards = torch.cat([world.networks.card, world.networks.topology], 1).double()
    expected = from_cards(cards, first, tried)
    return shrunken_means(
        table.task, table.network, y, networks=count, expected=expected, strength=8.0
    ).float()


def learned(
    world: World, seed: int = 0, loss: Loss | None = None, **changes: object
) -> tuple[Tensor, Tensor]:
    """Scores, and predicted logits, of the learned space: groups of parents left out."""
    tasks, sources, networks = inputs_of(world)
    settings = replace(Settings(seed=seed), **changes)  # type: ignore[arg-type]
    scores = torch.zeros(len(world.whole), len(world.own))
    levels = torch.zeros(len(world.whole))
    for group in world.groups(GROUPS):
        space, prior = train_without(world, group, settings, loss)
        rows = torch.tensor([r for r, parent in enumerate(world.parent) if parent in group])
        batch = tasks.subset(torch.tensor(world.whole)[rows])
        own = torch.tensor(world.own)
        with torch.no_grad():
            vectors = space.of_network(networks.subset(own), space.of_data(sources))
            scores[rows] = space.score(space.of_data(batch), vectors, prior[own])
            levels[rows] = space.levels(batch)
    return scores.double(), (scores + levels[:, None]).double()
