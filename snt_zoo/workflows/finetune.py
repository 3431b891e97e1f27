"""From a source in the zoo to a network for somebody's data."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.encoders.looking import CLOSER, LOOK_SHARE, choose_looks
from snt_zoo.encoders.sketch import Sample
from snt_zoo.encoders.target import Target
from snt_zoo.errors import ConfigError, ModelFolderError, NoMatchError, leaving_out
from snt_zoo.formats.tensor_file import dump_tensors
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.model_folder import check_writable
from snt_zoo.registry.bundle.bundle import Bundle
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.own_outcomes import outcomes_of_run
from snt_zoo.registry.remote.asking import retrieve
from snt_zoo.registry.retrieval import Match
from snt_zoo.search.adapting.candidates import SCRATCH, Candidate
from snt_zoo.search.adapting.finetune import finetune as adapt
from snt_zoo.search.adapting.floor import FLOOR_SHARE, Floor
from snt_zoo.search.adapting.probe_network import looks_parts
from snt_zoo.search.adapting.published import published_candidates
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.run import OnEpoch, RunOptions
from snt_zoo.workflows.latency import STARTER_NETWORK, known_table, latency_limits
from snt_zoo.workflows.share import id_of
from snt_zoo.workflows.shelves import Shelves, check_excluded, seen_on_hub

DEFAULT_BUDGET = "10m"

AUTO = "auto"

RACERS = 3
"""Supernets that race as those of which the most is predicted, and as many as the nearest: by the distance
alone, with four generalists besides, more heads chose worse (`python -m benchmarks.race_entrants`). The
broadest races too: a minute of training favours it (docs/decisions.md, 123)."""

RANKED = 64
"""Supernets of which something is predicted for a race."""


def finetune(
    zoo: Shelves,
    source: Match | str,
    data: ImageDataset,
    *,
    budget: str | float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    recipe: Mapping[str, Any] | None = None,
    max_params: int | None = None,
    max_macs: int | None = None,
    max_latency: float | None = None,
    latency_table: str | Path | None = None,
    licence: str | None = None,
    exclude: Collection[str] = (),
    hub: bool = False,
    floor: bool = True,
    pareto: bool = False,
    on_source: Callable[[str], None] | None = None,
    on_epoch: OnEpoch | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> FinetuneResult:
    """Adapt a supernet's weights and alphas to a dataset and derive a network.

    Args:
        zoo: that has the supernet.
        source: a match, an id (or its beginning), a repository of the Hub (`owner/name@revision`), `auto` for
            the winner of a race, or `scratch` for a search from fresh weights. What is on the Hub alone is
            pulled where it is named by its repository, or with `hub`.
        data: the task.
        budget: wall clock of the whole run, retrieval and probe included, as `"10m"`; the default if epochs
            are not given.
        epochs: the budget in epochs, for runs that must repeat to the bit.
        seed: decides everything that is random.
        device: `auto`, `cpu`, `cuda`, ….
        out: folder for checkpoints, and in the end for the model and its report.
        resume: go on from the checkpoint in `out`.
        recipe: fields of `Recipe` to change, as `{"searcher": "drnas"}`; the others keep what is right for
            the source.
        max_params: most weights that the network may have.
        max_macs: most multiply-accumulates that it may take for one image.
        max_latency: most seconds that it may take for one image, as a table of latencies predicts them.
        latency_table: file of that table; by default the one of this machine, by one thread
            (`snt-zoo bench --table`).
        licence: as in `query`, for `auto`.
        exclude: likewise.
        hub: as in `query`, for `auto`; and whether an id may be that of a supernet on the Hub.
        floor: fit a linear probe on the ImageNet backbone as well, and hand back its network if it is better
            on validation and within the limits, or the network of the search and the probe's as an ensemble,
            if that is clearly better; the network of the search alone is then kept in `result.derived`.
        pareto: train several networks of the supernet, small and large, in the budget, in place of one
            (`result.front`); the most accurate on validation is `result.model`, the others lie in `pareto/`
            of `out`. Limits hold for each.
        on_source: called with the id of the supernet that is trained.
        on_epoch: called with the record of each epoch.
        timer: what counts the budget's seconds; wall clock by default. Benchmarks that share a machine count
            processor time.

    Raises:
        NotInRegistryError: no such supernet.
        BudgetError: a budget in time and in epochs at once, or one that cannot be read.
        ConfigError: no such field of a recipe, or a value of another type.
        ResumeError: nothing to resume, or another run's checkpoint.
        HubError: the supernet has to be pulled, and cannot be.
        InfeasibleError: no network of the search space is that small, or that quick.
        LatencyTableError: a bound on the latency, and no table.
        ConfigError: also `pareto` from scratch, where no weights are inherited.
        UnknownComponentError: no such searcher, selection or regulariser.
    """
    began = timer()
    if pareto and source == SCRATCH:
        raise ConfigError(
            "several networks are chosen by the weights that they inherit, and a search from scratch has "
            "none: name a supernet or auto, or leave out --pareto"
        )
    options = RunOptions(
        Budget.of(budget, epochs, default=DEFAULT_BUDGET),
        limits=latency_limits(
            zoo,
            max_params=max_params,
            max_macs=max_macs,
            max_latency=max_latency,
            latency_table=latency_table,
        ),
        seed=seed,
        device=device,
        folder=None if out is None else Path(out),
        resume=resume,
        on_epoch=on_epoch,
        timer=timer,
    )
    resolve_device(device)  # what is wrong is said before the probe takes its time
    target = Target.of(data, timer=timer) if source == AUTO or floor else None
    expected: dict[str, float] = {}
    if source == AUTO:
        assert target is not None
        where = Filter(licence=licence, exclude=tuple(exclude))
        chosen = _nearest(zoo, target, where, hub=hub, expected=expected)
    else:
        chosen = [SCRATCH if source == SCRATCH else id_of(zoo, source, hub=hub)]
    candidates = _candidates(zoo, chosen, recipe or {})
    if source == AUTO:
        imagenet = published_candidates(
            data, recipe or {}, seconds=_timed(options), limits=options.limits, timer=timer
        )
        wanted = Filter(licence=licence).allows_licence
        candidates += [one for one in imagenet if all(map(wanted, one.licences.values()))]
    if options.folder is not None and Team.current().first:
        check_writable(options.folder)
    probe = _floor(target, options) if floor and target is not None else None
    options = replace(options, spent=timer() - began)
    result = adapt(data, candidates, options, floor=probe, on_source=on_source, pareto=pareto)
    if result.front is not None:
        table = known_table(zoo, latency_table)
        result = replace(result, front=result.front.timed(table))
    if options.folder is not None and Team.current().first:
        try:
            result.save(options.folder)
        except ModelFolderError as error:
            raise ModelFolderError(f"{error}; the run is kept, and --resume ends it") from error
        remove_checkpoint(options.folder)
    if target is not None and Team.current().first:
        _keep_outcomes(zoo, target, result, expected, options)
    return result


def _keep_outcomes(
    zoo: Shelves, target: Target, result: FinetuneResult, expected: Mapping[str, float], options: RunOptions
) -> None:
    """Add what the run came to to the registry's outcomes, from which predictions learn."""
    data, alone = target.data, result.derived or result
    assert data is not None
    ids = [str(row["id"]) for row in result.race] + [result.source]
    found = outcomes_of_run(
        zoo.registry.records(ids),
        expected,
        target=data.name,
        sketch=dump_tensors(target.sketch.to_tensors(), {"sketch": target.sketch.to_meta()}),
        classes=data.num_classes,
        images=(len(data.train), len(data.val), len(data.test)),
        race=result.race,
        finished={
            "source": result.source,
            "genotype": json.dumps(alone.genotype.to_json(), separators=(",", ":")),
            "params": alone.params,
            "macs": alone.macs,
            "val": alone.accuracy["val"],
            "test": alone.accuracy["test"],
            "budget": options.budget.seconds or 0.0,
            "seed": options.seed,
        },
    )
    zoo.registry.keep_outcomes(found)


def _nearest(
    zoo: Shelves, target: Target, where: Filter, *, hub: bool, expected: dict[str, float]
) -> list[str]:
    """Ids of those that race: of which the most is predicted, the nearest, and the broadest.

    Args:
        expected: gets what is predicted of each, by id.
    """
    shelf = seen_on_hub(zoo) if hub else None
    check_excluded(zoo, where.exclude, shelf)
    ranking = retrieve(zoo.registry, target, k=RANKED, where=where, hub=shelf)
    best = sorted(ranking, key=lambda match: -(match.predicted_accuracy or 0.0))
    broadest = max(ranking, key=lambda match: len(match.sources))
    racing = (*best[:RACERS], *ranking[:RACERS], broadest)
    found = {(match.id, match.repo): match for match in racing}
    expected |= {m.id: m.predicted_accuracy for m in found.values() if m.predicted_accuracy is not None}
    ids: list[str] = []
    for match in found.values():
        with leaving_out(match.repo or match.id):  # as one that is gone from the Hub since the last sync
            ids.append(id_of(zoo, match))
    if not ids:
        raise NoMatchError(f"none of the {len(found)} nearest supernets can be had: see the warnings above")
    return ids


def _candidates(zoo: Shelves, ids: Sequence[str], recipe: Mapping[str, Any]) -> list[Candidate]:
    """The supernets of some ids, or fresh weights, each with its recipe; of several those that load."""
    if ids == [SCRATCH]:
        return [Candidate.of(SCRATCH, STARTER_NETWORK, recipe)]
    sources: list[tuple[Record, Bundle]] = []
    for id in ids:
        with leaving_out(id) if len(ids) > 1 else contextlib.nullcontext():
            sources.append((zoo.registry.show(id), zoo.registry.get(id)))
    if not sources:
        raise NoMatchError(
            f"none of the {len(ids)} nearest supernets can be read: run `snt-zoo verify --repair`"
        )
    return [
        replace(
            Candidate.of(record.id, bundle.supernet, recipe, breadth=len(record.sources), macs=record.macs),
            licences={record.id: record.licence, **bundle.config.source_credits},
        )
        for record, bundle in sources
    ]


def _timed(options: RunOptions) -> float | None:
    """Seconds by which sizes may be chosen; None in a run that must repeat.

    Also of several processes, as all must choose the same.
    """
    return None if Team.current().size > 1 else options.budget.seconds


def _floor(target: Target, options: RunOptions) -> Floor:
    """The floor of a run: what looks for its probe suits the images, the time and the limits."""
    data, sample = target.data, target.sample
    assert data is not None and sample is not None
    seconds = _timed(options)
    looks = choose_looks(
        data,
        seconds=None if seconds is None else LOOK_SHARE * seconds,
        reading=sample.pace,
        allowed=lambda looks: options.limits.allow(looks_parts(looks, data.num_classes)),
        timer=options.timer,
    )
    samples, share, closer = [sample], FLOOR_SHARE, CLOSER
    if looks != (sample.backbone.id,):
        share, closer = LOOK_SHARE, ()
        samples = [Sample.of(data, get_backbone(look).quick(), timer=options.timer) for look in looks]
    while closer and not options.limits.allow(looks_parts((*looks, *closer), data.num_classes)):
        closer = closer[:-1]
    return Floor(
        replace(target, sample=samples[0]),
        seconds=None if seconds is None else share * seconds,
        pace=sum(each.pace for each in samples),
        limits=options.limits,
        seed=options.seed,
        timer=options.timer,
        others=tuple(samples[1:]),
        closer=closer,
    )
