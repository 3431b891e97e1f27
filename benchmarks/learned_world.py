"""The outcomes as tables: what every arm of `benchmarks.learned` is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.learned_data import (
    Networks,
    TaskKey,
    Tasks,
    describe_networks,
    distances,
    task_sketches,
)
from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.facts import facts
from snt_zoo.encoders.outcomes import PROBE, Outcome
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import OWN
from snt_zoo.registry.registry import Registry
from zoo.folds import original
from zoo.parents import parents


@dataclass(frozen=True, eq=False)
class Truth:
    """Outcomes of one kind as tables, NaN where there is none; a column for each own-genotype network.

    Args:
        rows: numbers of the tasks.
        val: float64 ``T x N``.
        test: likewise.
        may: which pairs are candidates, bool ``T x N``.
    """

    rows: list[int]
    val: Tensor
    test: Tensor
    may: Tensor


def logit(accuracy: float, count: float) -> float:
    """Of an accuracy on so many images, finite."""
    share = (accuracy * count + 0.5) / (count + 1)
    return float(torch.logit(torch.tensor(share, dtype=torch.float64)))


@dataclass(frozen=True, eq=False)
class World:
    """Outcomes, tasks and networks by number.

    Args:
        outcomes: of heads and of finetunings.
        tasks: all tasks that have heads.
        networks: all networks that have.
        cache: folder of distances.
    """

    outcomes: Sequence[Outcome]
    tasks: Tasks
    networks: Networks
    cache: Path

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], refs: Sequence[str], registry: Registry, cache: Path) -> World:
        """What was measured, and what is known of it."""
        heads = [one for one in outcomes if not one.budget]
        changes = sorted({one.change for one in heads})
        sketches = task_sketches(refs, changes, cache)
        keys: list[TaskKey] = sorted({(one.target, one.change, one.view) for one in heads} & set(sketches))
        networks = describe_networks(registry, heads, cache)
        parent = parents({key[0] for key in keys} | {sketch.name for sketch in networks.sketches})
        tasks = Tasks(keys, [sketches[key] for key in keys], [parent[key[0]] for key in keys])
        return cls(outcomes, tasks, networks, cache)

    @cached_property
    def own(self) -> list[int]:
        """Networks that have the genotype of their supernet: the columns of tables."""
        return [n for n, key in enumerate(self.networks.keys) if key[1] == OWN]

    @cached_property
    def column(self) -> dict[str, int]:
        """Column by the supernet's name."""
        return {self.networks.names[n]: c for c, n in enumerate(self.own)}

    @cached_property
    def whole(self) -> list[int]:
        """Tasks that are whole datasets as they are."""
        return [t for t, key in enumerate(self.tasks.keys) if key[1:] == ("", WHOLE)]

    @cached_property
    def parent(self) -> list[str]:
        """Of the whole tasks."""
        return [self.tasks.parent[t] for t in self.whole]

    @cached_property
    def source_parent(self) -> list[str]:
        """Of the sources of networks."""
        known = parents([sketch.name for sketch in self.networks.sketches])
        return [known[sketch.name] for sketch in self.networks.sketches]

    @cached_property
    def facts(self) -> Tensor:
        """Of all tasks, float64 ``T x p``."""
        return torch.stack([facts(sketch) for sketch in self.tasks.sketches])

    @cached_property
    def moments(self) -> Tensor:
        """Embeddings of all tasks, float64 ``T x 128``."""
        return torch.stack([embed(sketch) for sketch in self.tasks.sketches]).double()

    @cached_property
    def between(self) -> Tensor:
        """class-ot between whole tasks, float64 ``W x W``."""
        some = [self.tasks.sketches[t] for t in self.whole]
        return distances(some, some, self.cache).double()

    @cached_property
    def to_sources(self) -> Tensor:
        """class-ot from whole tasks to sources, float64 ``W x S``; infinite to relatives."""
        found = distances([self.tasks.sketches[t] for t in self.whole], self.networks.sketches, self.cache)
        kin = [[own == other for other in self.source_parent] for own in self.parent]
        return found.double().masked_fill(torch.tensor(kin), torch.inf)

    def nearest(self, table: Tensor) -> Tensor:
        """Of a table of whole tasks and sources the least over each own network's sources, ``W x N``."""
        return torch.stack([table[:, self.networks.sources[n]].min(1).values for n in self.own], 1)

    @cached_property
    def related(self) -> Tensor:
        """Which own networks saw a relative of which whole task, bool ``W x N``."""
        rows = [
            [any(self.source_parent[s] == own for s in self.networks.sources[n]) for n in self.own]
            for own in self.parent
        ]
        return torch.tensor(rows)

    def truth(self, method: str, budget: float = 0.0) -> Truth:
        """The outcomes of a method on whole datasets; for heads what chooses is what is reported.

        Stand-ins (`zoo.folds`) are put in the column of the generalist that they stand in for.
        """
        row = {self.tasks.keys[t][0]: r for r, t in enumerate(self.whole)}
        shape = len(self.whole), len(self.own)
        val, test = torch.full(shape, torch.nan).double(), torch.full(shape, torch.nan).double()
        may = torch.zeros(shape, dtype=torch.bool)
        for one in self.outcomes:
            wanted = (one.method, one.budget, one.view, one.change, one.kind) == (
                method,
                budget,
                WHOLE,
                "",
                OWN,
            )
            name = original(one.name)
            if not wanted or one.target not in row or name not in self.column or one.test is None:
                continue
            r, c = row[one.target], self.column[name]
            stand_in = name != one.name
            if self.related[r, c] and not stand_in:
                continue
            accuracy = one.accuracy
            assert accuracy is not None
            # A head is chosen by no image: regret is to the best there is, as the design defines it. Of
            # finetunings validation chooses, as a user would.
            chooses = one.val if method == "finetune" and one.val is not None else accuracy
            val[r, c], test[r, c], may[r, c] = chooses, accuracy, True
        kept = [r for r in range(len(self.whole)) if int(may[r].sum()) >= 5]
        return Truth(kept, val, test, may)

    @cached_property
    def heads(self) -> Tensor:
        """Logits of head accuracies on whole datasets, float64 ``W x (N + 1)``; the probe last."""
        row = {self.tasks.keys[t][0]: r for r, t in enumerate(self.whole)}
        found = torch.full((len(self.whole), len(self.own) + 1), torch.nan).double()
        for one in self.outcomes:
            if one.method != "head" or one.view != WHOLE or one.change or one.kind != OWN:
                continue
            accuracy = one.accuracy
            c = len(self.own) if one.name == PROBE else self.column.get(one.name, -1)
            if one.target in row and c >= 0 and accuracy is not None:
                found[row[one.target], c] = logit(accuracy, one.val_images + one.test_images)
        found[:, : len(self.own)].masked_fill_(self.related, torch.nan)
        return found

    @cached_property
    def asked(self) -> Tensor:
        """Images on which the heads of each whole task were asked, float64 ``W``."""
        row = {self.tasks.keys[t][0]: r for r, t in enumerate(self.whole)}
        found = torch.ones(len(self.whole)).double()
        for one in self.outcomes:
            if one.method == "head" and one.target in row and one.view == WHOLE and not one.change:
                found[row[one.target]] = one.val_images + one.test_images
        return found

    def groups(self, count: int) -> list[set[str]]:
        """Parents in so many groups, evened out by their tasks."""
        sizes: dict[str, int] = defaultdict(int)
        for parent in self.parent:
            sizes[parent] += 1
        out: list[set[str]] = [set() for _ in range(count)]
        for parent in sorted(sizes, key=lambda one: (-sizes[one], one)):
            min(out, key=lambda group: sum(sizes[one] for one in group)).add(parent)
        return out
