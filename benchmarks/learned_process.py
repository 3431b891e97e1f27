"""The Gaussian processes of `benchmarks.learned`: of heads, as the product has it, and of finetunings.

What is said of a task is learned from other parents alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks.learned_world import World
from snt_zoo.encoders.gaussian_process import GaussianProcess, Geometry, Kernel, Pairs, fit
from snt_zoo.encoders.network_facts import Cards, between
from snt_zoo.encoders.predictor import binomial_noise

FIT_TASKS = 24
"""Tasks on which the values of the kernel are fitted."""


def geometry(world: World, vectors: Tensor | None = None) -> Geometry:
    """How whole tasks and own networks lie to each other, the probe last.

    Args:
        vectors: of the whole tasks, in whose place class-ot stands where they are not given.
    """
    known = world.facts[world.whole]
    known = (known - known.mean(0)) / known.std(0)
    networks = [world.networks.facts[n] for n in world.own]
    apart = torch.full((len(networks) + 1,) * 2, 2.0).double()
    apart[:-1, :-1] = between(networks, Cards.measured_on(networks).scaled(networks))
    apart[-1, -1] = 0.0
    near = arms.class_ot(world)
    there = near.isfinite()
    near = ((near - near[there].mean()) / near[there].std()).masked_fill(~there, 0)
    near = torch.cat([near, torch.zeros(len(near), 1).double()], 1)
    datasets = world.between if vectors is None else torch.cdist(vectors, vectors)
    return Geometry(known, datasets, apart, near)


@dataclass(frozen=True, eq=False)
class Heads:
    """The outcomes of heads, or of finetunings, as a Gaussian process takes them.

    Args:
        space: how whole tasks and own networks lie to each other, the probe last.
        pairs: that have an outcome.
        y: logits less their `centre`.
        noise: variances that are known.
        centre: mean of the logits.
    """

    space: Geometry
    pairs: Pairs
    y: Tensor
    noise: Tensor
    centre: float

    @classmethod
    def of(cls, world: World, vectors: Tensor | None = None) -> Heads:
        """All of a world; see `geometry`."""
        task, network = (~world.heads.isnan()).nonzero(as_tuple=True)
        y = world.heads[task, network]
        centre = float(y.mean())
        noise = binomial_noise(y, world.asked[task])
        return cls(geometry(world, vectors), Pairs(task, network), y - centre, noise, centre)

    @classmethod
    def of_finetunings(cls, world: World, vectors: Tensor, base: Tensor | None = None) -> Heads:
        """Those of five seconds, less what is known of them.

        Args:
            world: of the outcomes.
            vectors: of the whole tasks.
            base: logits, ``W x N``; none by default.
        """
        table = finetunings(world)
        task, network = (~table.isnan()).nonzero(as_tuple=True)
        y = table[task, network] - (0.0 if base is None else base[task, network])
        centre = float(y.mean())
        # Chance is in the kernel's own noise: it is more than that of the images.
        return cls(geometry(world, vectors), Pairs(task, network), y - centre, torch.zeros_like(y), centre)

    def process(self, kernel: Kernel, tasks: Tensor | None = None) -> GaussianProcess:
        """One that has seen some tasks; all by default."""
        rows = slice(None) if tasks is None else torch.isin(self.pairs.task, tasks).nonzero().flatten()
        pairs = Pairs(self.pairs.task[rows], self.pairs.network[rows])
        return GaussianProcess(kernel, self.space, pairs, self.y[rows], self.noise[rows])

    def kernel(
        self, tasks: Tensor, *, seed: int = 0, without: Collection[str] = (), steps: int = 40
    ) -> Kernel:
        """Fitted to some of the tasks that have outcomes, at most `FIT_TASKS` of them."""
        generator = torch.Generator().manual_seed(seed)
        tasks = tasks[torch.isin(tasks, self.pairs.task)]
        some = self.process(Kernel(), tasks[torch.randperm(len(tasks), generator=generator)[:FIT_TASKS]])
        return fit(self.space, some.pairs, some.y, some.noise, without=without, steps=steps).kernel

    def grid(self, tasks: Tensor) -> Pairs:
        """Some tasks with every network and the probe, also those that saw a relative, in whose place a
        stand-in may be asked for."""
        return Pairs(*torch.cartesian_prod(tasks, torch.arange(len(self.space.between_networks))).T)


def gaussian_process(
    world: World, *, without: Collection[str] = (), vectors: Tensor | None = None, steps: int = 40
) -> Tensor:
    """Logits of the head of each whole task and network, the probe last, float64 ``W x (N + 1)``."""
    return left_out(world, Heads.of(world, vectors), without=without, steps=steps)


def left_out(world: World, heads: Heads, *, without: Collection[str] = (), steps: int = 40) -> Tensor:
    """What is said of whole tasks and networks, the probe last, float64 ``W x (N + 1)``.

    Each parent is left out; values of the kernel are fitted without the group of parents that it is in.
    """
    found = torch.full_like(world.heads, torch.nan)
    for number, group in enumerate(world.groups(arms.GROUPS)):
        free = torch.tensor([r for r, parent in enumerate(world.parent) if parent not in group])
        process = heads.process(heads.kernel(free, seed=number, without=without, steps=steps))
        for parent in sorted(group):
            own = torch.tensor([each == parent for each in world.parent])
            weights = process.solved_without(own[process.pairs.task].nonzero().flatten())
            grid = heads.grid(own.nonzero().flatten())
            cross = process.kernel.matrix(heads.space, grid, process.pairs)
            found[grid.task, grid.network] = cross @ weights + heads.centre
    return found


def finetunings(world: World) -> Tensor:
    """Logits of accuracies after five seconds of finetuning, float64 ``W x N``; NaN where there is none."""
    truth = world.truth("finetune", 5.0)
    return torch.where(truth.may, truth.test.clamp(0.002, 0.998).logit(), torch.nan)


def of_finetunings(world: World, vectors: Tensor, *, beside_heads: bool = False) -> Tensor:
    """Logits after five seconds by a process that learns from such outcomes of other parents, ``W x N``.

    Args:
        world: of the outcomes.
        vectors: of the whole tasks.
        beside_heads: learn what is left of them, where the predicted accuracies of heads are known.
    """
    base = gaussian_process(world, vectors=vectors)[:, :-1] if beside_heads else None
    found = left_out(world, Heads.of_finetunings(world, vectors, base))[:, :-1]
    return found if base is None else found + base
