"""`Adapting`: from a source in the registry to a network for somebody's data."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import Drawn, Sketch, draw, sketch
from snt_zoo.errors import NoMatchError, NotInRegistryError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.retrieval import Match, retrieve
from snt_zoo.search.adapting.finetune import FinetuneResult, default_recipe, finetune
from snt_zoo.search.adapting.floor import FLOOR_SHARE, Floor, with_floor
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.bilevel import check_recipe
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import OnEpoch
from snt_zoo.workflows.share import Sharing

DEFAULT_BUDGET = "10m"

STARTER_NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2})
"""The network of the starter zoo and of a search from scratch; measured in docs/decisions.md."""

CANDIDATES = 4
"""Best matches that race, and generalists besides: more were no better (docs/decisions.md, 60)."""

RANKED = 64
"""Supernets that are ranked for a race: in a registry of fewer its generalists are among them."""

SCRATCH = "scratch"
GENERALIST = "generalist"
"""Tag of a supernet that was pretrained on many datasets at once."""

GENERALISTS = 4
"""Of them that race besides, nearest first."""


class Adapting(Sharing):
    """A registry whose supernets can be adapted to a dataset."""

    def finetune(
        self,
        source: Match | str,
        data: ImageDataset,
        *,
        budget: str | float | None = None,
        epochs: int | None = None,
        seed: int = 0,
        device: str = "auto",
        out: str | Path | None = None,
        resume: bool = False,
        recipe: Recipe | None = None,
        searcher: str | None = None,
        selection: str | None = None,
        guards: Mapping[str, bool] | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        exclude: Collection[str] = (),
        hub: bool = False,
        candidates: int = CANDIDATES,
        floor: bool = True,
        on_source: Callable[[str], None] | None = None,
        on_epoch: OnEpoch | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> FinetuneResult:
        """Adapt a supernet's weights and alphas to a dataset and derive a network.

        Args:
            source: a match, an id (or its beginning), a repository of the Hub (`owner/name@revision`),
                `auto` for the winner of a race, or `scratch` for a search from fresh weights. A supernet that
                is on the Hub alone is pulled.
            data: the target.
            budget: wall clock of the whole run, retrieval and probe included, as `"10m"`; the default if
                epochs are not given.
            epochs: the budget in epochs, for runs that must repeat to the bit.
            seed: decides everything that is random.
            device: `auto`, `cpu`, `cuda`, ….
            out: folder for checkpoints, and in the end for the model and its report.
            resume: go on from the checkpoint in `out`.
            recipe: hyperparameters of training.
            searcher: name of another searcher than the recipe's; see `docs/searchers.md`.
            selection: `alpha`, `handicap` or `perturbation`, if not the recipe's.
            guards: which guards to switch on or off, by name.
            max_params: most weights that the network may have.
            max_macs: most multiply-accumulates that it may take for one image.
            exclude: as in `query`, for `auto`.
            hub: as in `query`, for `auto`.
            candidates: for `auto`, how many of the best matches race; the nearest generalists (supernets with
                that tag) and a search from scratch race as well. With 1 the best match is taken.
            floor: fit a linear probe on the ImageNet backbone as well, and hand back its network, or the best
                head of the race, if it is better on validation and within the limits, or the network of the
                search and the probe's as an ensemble, if that is clearly better; the network of the search
                alone is then kept in `result.derived`.
            on_source: called with the id of the supernet before it is trained, or when it has won the race.
            on_epoch: called with the record of each epoch.
            timer: what counts the budget's seconds; wall clock by default. Benchmarks that share a machine
                count processor time.

        Raises:
            NotInRegistryError: no such supernet.
            BudgetError: a budget in time and in epochs at once, or one that cannot be read.
            ResumeError: nothing to resume, or another run's checkpoint.
            HubError: the supernet has to be pulled, and cannot be.
            InfeasibleError: no network of the search space is that small.
            UnknownComponentError: no such searcher, selection or guard.
        """
        limit, began = Budget.of(budget, epochs, default=DEFAULT_BUDGET), timer()
        limits = Limits(max_params, max_macs)
        drawn: Drawn | None = None
        if source == "auto":
            drawn = draw(data)
            sources = self._candidates(sketch(data, drawn=drawn), candidates, exclude, hub)
        else:
            sources = [self._source(source)]
        records = self.registry.records([id for id, _ in sources])
        entrants = [
            Entrant(
                id,
                start,
                (recipe or default_recipe(start)).choosing(
                    searcher=searcher, selection=selection, guards=guards
                ),
                breadth=_breadth(records.get(id)),
                macs=records[id].macs if id in records else None,
            )
            for id, start in sources
        ]
        for entrant in entrants:  # before the probe takes its time
            check_recipe(entrant.recipe)
        resolve_device(device)
        if on_source is not None and len(entrants) == 1:
            on_source(entrants[0].id)
        rival = _floor(data, drawn or draw(data), limit, limits, seed, timer) if floor else None
        result = finetune(
            data,
            entrants,
            budget=limit,
            limits=limits,
            seed=seed,
            device=device,
            folder=None if out is None else Path(out),
            resume=resume,
            on_epoch=on_epoch,
            on_winner=on_source,
            rival=rival,
            spent=timer() - began,
            timer=timer,
        )
        if rival is not None:
            result = with_floor(result, rival, data, device=device)
        if out is not None and Team.current().first:
            result.save(out)
            remove_checkpoint(Path(out))
        return result

    def _source(self, source: Match | str) -> tuple[str, Supernet | NetworkConfig]:
        if source == SCRATCH:
            return SCRATCH, STARTER_NETWORK
        id = self._fetched(source) if isinstance(source, Match) else self._meant(source)
        return id, self.registry.get(id).supernet

    def _candidates(
        self, target: Sketch, count: int, exclude: Collection[str], hub: bool
    ) -> list[tuple[str, Supernet | NetworkConfig]]:
        """Who races: the best matches, generalists, a search from scratch; the best match alone for one."""
        shelf = self._seen() if hub else None
        self._check_excluded(exclude, shelf)
        where = Filter(exclude=tuple(exclude))
        if count == 1:
            return [self._source(retrieve(self.registry, target, k=1, where=where, hub=shelf)[0])]
        ranking = retrieve(self.registry, target, k=max(count, RANKED), where=where, hub=shelf)
        found = list(ranking[:count])
        known = {match.id for match in found}
        found += [m for m in self._generalists(target, ranking, where, shelf) if m.id not in known]
        return [*(self._source(match) for match in found), self._source(SCRATCH)]

    def _generalists(
        self, target: Sketch, ranking: Sequence[Match], where: Filter, shelf: HubCache | None
    ) -> Sequence[Match]:
        """The nearest ones: of the ranking if nothing is beyond it, else asked for."""
        general = replace(where, tag=GENERALIST)
        if len(ranking) < RANKED:
            ids = self.registry.ids(general)
            ids |= {one.id for one in (shelf.list() if shelf is not None else []) if general.fits(one)}
            return [match for match in ranking if match.id in ids][:GENERALISTS]
        try:
            return retrieve(self.registry, target, k=GENERALISTS, where=general, hub=shelf)
        except NoMatchError:
            return []

    def _check_excluded(self, exclude: Collection[str], hub: HubCache | None = None) -> None:
        """A misspelt word would leave in what was to be left out, and nobody would see it."""
        seen = hub.list() if exclude and hub is not None else []
        for word in exclude:
            if not self.registry.knows(word) and all(Filter(exclude=(word,)).fits(one) for one in seen):
                raise NotInRegistryError(
                    f"nothing to exclude: {word!r} is no tag, name or id in the registry; see `snt-zoo list`"
                )


def _breadth(record: Record | None) -> int:
    return len(record.sources) if record is not None and GENERALIST in record.tags else 0


def _floor(
    data: ImageDataset,
    drawn: Drawn,
    limit: Budget,
    limits: Limits,
    seed: int,
    timer: Callable[[], float],
) -> Floor:
    # A run that must repeat has no limit in time, and several processes must come to the same probe.
    timed = limit.seconds is not None and Team.current().size == 1
    seconds = FLOOR_SHARE * (limit.seconds or 0) if timed else None
    return Floor(data, drawn, seconds=seconds, limits=limits, seed=seed, timer=timer)
