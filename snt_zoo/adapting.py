"""`Adapting`: from a source in the registry to a network for somebody's data."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.probe import Probe, fit_probe
from snt_zoo.encoders.sketch import Drawn, Sketch, draw, sketch
from snt_zoo.errors import NotInRegistryError
from snt_zoo.floor import with_floor
from snt_zoo.registry.filters import Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.retrieval import Match, QueryResult, retrieve
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.constraints import Limits
from snt_zoo.search.distributed import Team
from snt_zoo.search.finetune import FinetuneResult, default_recipe, finetune
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import OnEpoch
from snt_zoo.search.supernet import NetworkConfig, Supernet
from snt_zoo.sharing import Sharing

DEFAULT_BUDGET = "10m"

STARTER_NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2})
"""The network of the starter zoo and of a search from scratch; measured in docs/decisions.md."""

PROBE_SHARE = 0.15
"""Of a budget in seconds: a probe that has taken so much of it looks at no more images."""


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
        floor: bool = True,
        on_source: Callable[[str], None] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> FinetuneResult:
        """Adapt a supernet's weights and alphas to a dataset and derive a network.

        Args:
            source: a match, an id (or its beginning), a repository of the Hub (`owner/name@revision`),
                `auto` for the best match, or `scratch` for a search from fresh weights. A supernet that
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
            selection: `alpha` or `perturbation`, if not the recipe's.
            guards: which guards to switch on or off, by name.
            max_params: most weights that the network may have.
            max_macs: most multiply-accumulates that it may take for one image.
            exclude: as in `query`, for `auto`.
            hub: as in `query`, for `auto`.
            floor: fit a linear probe on the ImageNet backbone as well, and hand its network back if it is
                better on validation and within the limits; the network of the search is then kept in
                `result.derived`.
            on_source: called with the id of the supernet before training begins.
            on_epoch: called with the record of each epoch.

        Raises:
            NotInRegistryError: no such supernet.
            BudgetError: a budget in time and in epochs at once, or one that cannot be read.
            ResumeError: nothing to resume, or another run's checkpoint.
            HubError: the supernet has to be pulled, and cannot be.
            InfeasibleError: no network of the search space is that small.
            UnknownComponentError: no such searcher, selection or guard.
        """
        limit, began = Budget.of(budget, epochs, default=DEFAULT_BUDGET), time.perf_counter()
        limits = Limits(max_params, max_macs)
        drawn = draw(data) if floor or source == "auto" else None
        start, source_id = self._source(source, data, drawn, exclude, hub)
        if on_source is not None:
            on_source(source_id)
        probe = None if drawn is None or not floor else _floor(data, drawn, limit, seed)
        result = finetune(
            data,
            start,
            budget=limit,
            source_id=source_id,
            recipe=(recipe or default_recipe(start)).choosing(
                searcher=searcher, selection=selection, guards=guards
            ),
            limits=limits,
            seed=seed,
            device=device,
            folder=None if out is None else Path(out),
            resume=resume,
            on_epoch=on_epoch,
            spent=time.perf_counter() - began,
        )
        if probe is not None:
            result = with_floor(result, probe, data, limits=limits, device=device)
        if out is not None and Team.current().first:
            result.save(out)
            remove_checkpoint(Path(out))
        return result

    def _source(
        self,
        source: Match | str,
        data: ImageDataset,
        drawn: Drawn | None,
        exclude: Collection[str],
        hub: bool,
    ) -> tuple[Supernet | NetworkConfig, str]:
        if source == "scratch":
            return STARTER_NETWORK, "scratch"
        if source == "auto":
            source = self._nearest(sketch(data, drawn=drawn), 1, exclude, hub)[0]
        id = self._fetched(source) if isinstance(source, Match) else self._meant(source)
        return self.registry.get(id).supernet, id

    def _nearest(self, target: Sketch, k: int, exclude: Collection[str], hub: bool) -> QueryResult:
        shelf = self._seen() if hub else None
        self._check_excluded(exclude, shelf)
        return retrieve(self.registry, target, k=k, where=Filter(exclude=tuple(exclude)), hub=shelf)

    def _check_excluded(self, exclude: Collection[str], hub: HubCache | None = None) -> None:
        """A misspelt word would leave in what was to be left out, and nobody would see it."""
        seen = hub.list() if exclude and hub is not None else []
        for word in exclude:
            if not self.registry.knows(word) and all(Filter(exclude=(word,)).fits(one) for one in seen):
                raise NotInRegistryError(
                    f"nothing to exclude: {word!r} is no tag, name or id in the registry; see `snt-zoo list`"
                )


def _floor(data: ImageDataset, drawn: Drawn, limit: Budget, seed: int) -> Probe:
    # A run that must repeat has no limit in time, and several processes must come to the same probe.
    timed = limit.seconds is not None and Team.current().size == 1
    return fit_probe(data, drawn, seconds=PROBE_SHARE * (limit.seconds or 0) if timed else None, seed=seed)
