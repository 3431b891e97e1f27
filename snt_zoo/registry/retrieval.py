"""A query: shortlist from the index, filter by constraints, re-rank by a distance.

The shortlist is one call of FAISS over embeddings; the re-ranking compares the sketches class by class,
unless another distance is asked for, and says which of the target's classes lie near which of a source's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, overload

from snt_zoo.encoders.distances import DatasetDistance, Measured, Source, get_distance
from snt_zoo.encoders.probe import Probe
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import class_distance
from snt_zoo.errors import DatasetError, NoMatchError, NotInRegistryError, RegistryError
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Candidate, Record
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.registry import Registry

DEFAULT_DISTANCE = "class-ot"
SHORTLIST = 32  # supernets that are re-ranked; more where more answers are asked for
EQUAL = 1e-4  # distances that differ by less, as a share of the range of those that were measured, are equal


class RankedBy(NamedTuple):
    """What ranked the answers: the distance's name, and its level, the same for all of them."""

    distance: str
    level: str


class ClassPair(NamedTuple):
    """A class of the target and its nearest class in the zoo's supernet."""

    target: str
    source: str
    source_class: str
    distance: float


@dataclass(frozen=True)
class Match:
    """One answer of a query.

    Args:
        id: of the supernet.
        space: its search space.
        sources: names of the datasets it was trained on.
        score: what ranks the matches, from 0 to 1, larger is nearer: 1 / (1 + distance).
        distance: between the target and the nearest of the sources; by default Optimal Transport of classes.
        predicted_accuracy: None until a predictor is there.
        head_accuracy: on validation images of the target, from 0 to 1, with a new head and not trained any
            further (`snt_zoo.registry.closeness`); None where none was fitted.
        params: weights of the network that the supernet's genotype derives to.
        macs: its multiply-accumulates for one image.
        class_matches: for each class of the target its counterpart, nearest first.
        repo: ``owner/name`` on the Hub, if the supernet is there and not on this machine; then its
            figures are its author's claims, which are checked when it is pulled.
        commit: at which it was seen there.
        diverged: whether a head could not be fitted, since its weights overflow: it cannot be used.
    """

    id: str
    space: str
    sources: tuple[str, ...]
    score: float
    distance: float
    predicted_accuracy: float | None
    head_accuracy: float | None
    params: int
    macs: int
    class_matches: tuple[ClassPair, ...]
    repo: str | None = None
    commit: str | None = None
    diverged: bool = False

    @property
    def remote(self) -> bool:
        """Whether it has to be pulled before it can be used."""
        return self.repo is not None

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        data = vars(self) | {
            "sources": list(self.sources),
            "class_matches": [pair._asdict() for pair in self.class_matches],
        }
        place = {"repo": data.pop("repo"), "commit": data.pop("commit")}
        diverged = {"diverged": True} if data.pop("diverged") else {}
        return data | ({"remote": True, **place} if self.remote else {}) | diverged


@dataclass(frozen=True)
class QueryResult(Sequence[Match]):
    """The matches of a query, nearest first.

    Args:
        matches: at least one.
        close: whether anything is close at all: with a new head one of the nearest is no worse than the probe
            (`snt_zoo.registry.closeness`); None where that was not measured.
        seconds: time of each stage.
        ranked_by: the distance that was used.
        probe: what a linear classifier on the backbone's features comes to, for comparison; None where there
            were no images to fit it to.
    """

    matches: tuple[Match, ...]
    close: bool | None
    seconds: Mapping[str, float]
    ranked_by: RankedBy
    probe: Probe | None = None

    @overload
    def __getitem__(self, index: int) -> Match: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Match]: ...
    def __getitem__(self, index: int | slice) -> Match | Sequence[Match]:
        return self.matches[index]

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {
            "matches": [match.to_json() for match in self.matches],
            "close": self.close,
            "ranked_by": self.ranked_by._asdict(),
            "probe": None if self.probe is None else self.probe.to_json(),
            "seconds": dict(self.seconds),
        }


def retrieve(
    registry: Registry,
    target: Target,
    *,
    k: int,
    distance: str | DatasetDistance = DEFAULT_DISTANCE,
    where: Filter | None = None,
    hub: HubCache | None = None,
) -> QueryResult:
    """The k nearest supernets of a registry.

    Args:
        registry: where to look. SQLite and the index keep to the constraints, so that of a registry of
            any size only the rows of the shortlist are read.
        target: the user's data.
        k: how many answers, at least 1.
        distance: what re-ranks the shortlist, or its name.
        where: constraints on the candidates.
        hub: where to look as well; a supernet that is also in the registry is taken from there.

    Raises:
        RegistryError: `k` is below 1.
        NoMatchError: the registry is empty, or nothing meets the constraint.
        IndexMismatchError: the registry was made with another backbone.
        UnknownComponentError: no distance of that name.
        DatasetError: the distance needs images, and the target is only a sketch.
    """
    if k < 1:
        raise RegistryError(f"k must be at least 1, got {k}: ask for one answer or more")
    measure = get_distance(distance) if isinstance(distance, str) else distance
    start = time.perf_counter()
    where = where or Filter()
    count = max(k, SHORTLIST)
    nearest = registry.search(target.sketch, count, where=where)
    here = registry.records([id for id, _ in nearest])
    found: list[tuple[Candidate, Registry | HubCache]] = [(record, registry) for record in here.values()]
    if hub is not None:
        seen = {one.id: one for one in hub.list() if where.fits(one)}
        for id in registry.records([*seen]):
            del seen[id]
        if seen:
            there = hub.search(target.sketch, count, allowed=set(seen))
            found += [(seen[id], hub) for id, _ in there]
    listed = time.perf_counter()
    candidates = {candidate.id: candidate for candidate, _ in found}
    sources = [source for candidate, shelf in found for source in _sources(shelf, candidate.id)]
    if not sources:
        _explain(registry.count() + (0 if hub is None else len(hub.list())))
    best: dict[str, tuple[Source, Measured]] = {}
    for source, one in zip(sources, measure(target, sources), strict=True):
        if source.id not in best or one.distance < best[source.id][1].distance:
            best[source.id] = source, one
    ranking = _ranked(best.values(), {id: _among_equals(one) for id, one in candidates.items()})[:k]
    matches = tuple(_match(candidates[source.id], target.sketch, source, one) for source, one in ranking)
    ranked = time.perf_counter()
    seconds = {"shortlist": listed - start, "rerank": ranked - listed}
    return QueryResult(matches, None, seconds, RankedBy(measure.name, ranking[0][1].level))


def _among_equals(candidate: Candidate) -> tuple[int, float, str]:
    """What orders supernets that are equally near, the smallest first: breadth, accuracy, id.

    Accuracy is that on validation, of what is in this registry: elsewhere it is a claim.
    """
    accuracy = candidate.val_accuracy if isinstance(candidate, Record) else None
    return len(candidate.sources), -(accuracy or 0.0), candidate.id


def _ranked(
    found: Iterable[tuple[Source, Measured]], order: Mapping[str, tuple[int, float, str]]
) -> list[tuple[Source, Measured]]:
    """Nearest first; of equals those that were trained on the fewest sources, and of these the most accurate.

    A generalist is as near as the supernet of its nearest source alone, which was trained on nothing else;
    but for rounding, where their sketches of that source were made by different releases.
    """
    ordered = sorted(found, key=lambda pair: pair[1].distance)
    same = EQUAL * (ordered[-1][1].distance - ordered[0][1].distance)
    groups: list[list[tuple[Source, Measured]]] = []
    for pair in ordered:
        if not groups or pair[1].distance - groups[-1][0][1].distance > same:
            groups.append([])
        groups[-1].append(pair)
    return [pair for group in groups for pair in sorted(group, key=lambda p: order[p[0].id])]


def _explain(count: int) -> NoReturn:
    if not count:
        raise NoMatchError("the registry holds no supernet: add one with `snt-zoo add DIR`")
    raise NoMatchError(
        f"none of the {count} supernets in the registry meets the constraints: raise "
        "--max-params or --max-macs, or drop --space or --exclude"
    )


def _sources(shelf: Registry | HubCache, id: str) -> list[Source]:
    """The datasets of one candidate; none if it was removed since it was found."""
    try:
        sketches = shelf.sketches(id)
    except NotInRegistryError:
        return []

    def load() -> Supernet:
        if isinstance(shelf, Registry):
            return shelf.get(id).supernet
        raise DatasetError(
            f"the weights of {id} are on the Hub, and this distance needs them: pull it first, or take a "
            "distance between sketches"
        )

    return [Source(id, sketch, load) for sketch in sketches]


def _match(candidate: Candidate, target: Sketch, source: Source, found: Measured) -> Match:
    # A distance without a coupling ranks; which class lies near which is still told by transport.
    transport = found.transport or class_distance(target, source.sketch)
    return Match(
        id=candidate.id,
        space=candidate.space,
        sources=candidate.sources,
        score=1.0 / (1.0 + found.distance),
        distance=found.distance,
        predicted_accuracy=None,
        head_accuracy=None,
        params=candidate.params,
        macs=candidate.macs,
        class_matches=tuple(
            ClassPair(match.target, source.sketch.name, match.source_class, match.distance)
            for match in transport.matches
        ),
        repo=candidate.repo if isinstance(candidate, RemoteRecord) else None,
        commit=candidate.commit if isinstance(candidate, RemoteRecord) else None,
        diverged=math.isinf(found.distance),
    )
