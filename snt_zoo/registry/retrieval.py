"""A query: shortlist from the index, filter by constraints, re-rank by a distance.

The shortlist is one call of FAISS over embeddings; the re-ranking compares the sketches class by class,
unless another distance is asked for, and says which of the target's classes lie near which of a source's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn, overload

from snt_zoo.encoders.distances import DatasetDistance, get_distance
from snt_zoo.encoders.probe import Probe
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import class_distance
from snt_zoo.errors import NoMatchError, RegistryError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.kept_ranking import kept_nearest
from snt_zoo.registry.predicting import BUDGET, Predictions, moved_at, predictor_of
from snt_zoo.registry.ranking import Nearest, nearest_sources, ranked, shortlist
from snt_zoo.registry.registry import Registry

DEFAULT_DISTANCE = "class-ot"
BY_DISTANCE, BY_ACCURACY = "distance", "accuracy"
SHORTLIST = 32  # supernets that are re-ranked; more where more answers are asked for


class RankedBy(NamedTuple):
    """What ranked the answers: the distance's name and its level, the same for all, and what orders them."""

    distance: str
    level: str
    by: str = BY_DISTANCE


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
        predicted_accuracy: on images of the target, from 0 to 1, with a new head and `predicted_budget` of
            training, as it is predicted from the sketch alone; None where the predictor knows another
            backbone, or another distance was asked for.
        predicted_interval: that holds it nine times in ten, over datasets.
        predicted_budget: of training, that it is for.
        head_accuracy: on validation images of the target, from 0 to 1, with a new head and not trained any
            further (`snt_zoo.registry.closeness`); None where none was fitted.
        params: weights of the network that the supernet's genotype derives to.
        macs: its multiply-accumulates for one image.
        class_matches: for each class of the target its counterpart, nearest first.
        repo: ``owner/name`` on the Hub, if the supernet is there and not on this machine; then its
            figures are its author's claims, which are checked when it is pulled.
        commit: at which it was seen there.
        licences: its own, then those of the datasets that it was trained on, each once.
        diverged: whether a head could not be fitted, since its weights overflow: it cannot be used.
    """

    id: str
    space: str
    sources: tuple[str, ...]
    score: float
    distance: float
    predicted_accuracy: float | None
    predicted_interval: tuple[float, float] | None
    predicted_budget: str | None
    head_accuracy: float | None
    params: int
    macs: int
    class_matches: tuple[ClassPair, ...]
    repo: str | None = None
    commit: str | None = None
    licences: tuple[str, ...] = ()
    diverged: bool = False

    @property
    def remote(self) -> bool:
        """Whether it has to be pulled before it can be used."""
        return self.repo is not None

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        data = vars(self) | {
            "sources": list(self.sources),
            "licences": list(self.licences),
            "predicted_interval": None if self.predicted_interval is None else list(self.predicted_interval),
            "class_matches": [pair._asdict() for pair in self.class_matches],
        }
        place = {"repo": data.pop("repo"), "commit": data.pop("commit")}
        diverged = {"diverged": True} if data.pop("diverged") else {}
        return data | ({"remote": True, **place} if self.remote else {}) | diverged


@dataclass(frozen=True)
class QueryResult(Sequence[Match]):
    """The matches of a query, nearest first, or in the order that was asked for.

    Args:
        matches: at least one.
        close: whether anything is close at all: with a new head one of the nearest is no worse than the probe
            (`snt_zoo.registry.closeness`); where that was not asked for, what is predicted of the shortlist
            (docs/predictor.md says how often that is right); None where neither can be said.
        seconds: time of each stage.
        ranked_by: the distance that was used.
        probe: what a linear classifier on the backbone's features comes to, for comparison; None where there
            were no images to fit it to.
        predicted_probe: what such a classifier is predicted to come to, from the sketch alone; None where
            nothing is predicted.
        predictions: how the matches' predictions came about.
    """

    matches: tuple[Match, ...]
    close: bool | None
    seconds: Mapping[str, float]
    ranked_by: RankedBy
    probe: Probe | None = None
    predicted_probe: float | None = None
    predictions: Predictions | None = None

    def saying(self, predictions: Predictions) -> QueryResult:
        """The matches with what is predicted of them, in their order."""
        matches = tuple(
            replace(
                match,
                predicted_accuracy=one.accuracy,
                predicted_interval=(one.low, one.high),
                predicted_budget=BUDGET,
            )
            for match, one in zip(self.matches, predictions.matches, strict=True)
        )
        expected = self.predicted_probe or predictions.probe.accuracy
        return replace(self, matches=matches, predictions=predictions, predicted_probe=expected)

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
            "predicted_probe": self.predicted_probe,
            "seconds": dict(self.seconds),
        }


def retrieve(
    registry: Registry,
    target: Target,
    *,
    k: int,
    by: str = BY_DISTANCE,
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
        by: `BY_DISTANCE`, or `BY_ACCURACY`: the highest predicted accuracy of the shortlist first.
        distance: what re-ranks the shortlist, or its name.
        where: constraints on the candidates.
        hub: where to look as well; a supernet that is also in the registry is taken from there.

    Raises:
        RegistryError: `k` is below 1, or accuracies are to rank and none is predicted.
        NoMatchError: the registry is empty, or nothing meets the constraint.
        IndexMismatchError: the registry was made with another backbone.
        UnknownComponentError: no distance of that name.
        DatasetError: the distance needs images, and the target is only a sketch.
    """
    if k < 1:
        raise RegistryError(f"k must be at least 1, got {k}: ask for one answer or more")
    measure = get_distance(distance) if isinstance(distance, str) else distance
    start = time.perf_counter()
    found = shortlist(registry, target, max(k, SHORTLIST), where=where or Filter(), hub=hub)
    listed = time.perf_counter()
    ask = kept_nearest if distance == DEFAULT_DISTANCE else nearest_sources
    ranking = ranked(ask(target, found, measure), rounding=measure.rounding)
    predicted = _predicted(registry, target.sketch, ranking) if measure.name == DEFAULT_DISTANCE else None
    if found and not ranking:
        raise NoMatchError(
            f"none of the {len(found)} nearest supernets can be read: run `snt-zoo verify --repair`"
        )
    if not ranking:
        _explain(registry.count() + (0 if hub is None else len(hub.list())))
    if by == BY_ACCURACY:
        if predicted is None:
            raise RegistryError(
                f"no accuracy is predicted with this distance, or for this backbone: rank by {BY_DISTANCE}"
            )
        accuracies = [each.accuracy for each in predicted.matches]
        order = sorted(range(len(ranking)), key=lambda place: -accuracies[place])
        ranking, predicted = [ranking[place] for place in order], predicted.ordered(order)
    ranking = ranking[:k]
    matches = tuple(_match(one, target.sketch) for one in ranking)
    seconds = {"shortlist": listed - start, "rerank": time.perf_counter() - listed}
    close = None if predicted is None else predicted.close
    made = QueryResult(matches, close, seconds, RankedBy(measure.name, ranking[0].level, by))
    return made if predicted is None else made.saying(predicted.ordered(range(len(ranking))))


def _explain(count: int) -> NoReturn:
    if not count:
        raise NoMatchError("the registry holds no supernet: add one with `snt-zoo add DIR`")
    raise NoMatchError(
        f"none of the {count} supernets in the registry meets the constraints: raise "
        "--max-params or --max-macs, or drop --space or --exclude"
    )


def _predicted(registry: Registry, target: Sketch, ranking: Sequence[Nearest]) -> Predictions | None:
    """What is predicted of each, and of the probe; None where no predictor fits."""
    predictor = predictor_of(registry.home)
    if predictor is None or not ranking:
        return None
    return Predictions.of(predictor, target, ranking, moved_at(registry.home))


def _match(nearest: Nearest, target: Sketch) -> Match:
    record, coupling = nearest.candidate.record, nearest.coupling
    matches = None if coupling is None else coupling.matches
    if matches is None:  # such a distance ranks; which class lies near which is still told by transport
        sketches = nearest.candidate.sketches()[nearest.number :]
        matches = class_distance(target, sketches[0]).matches if sketches else ()
    return Match(
        id=record.id,
        space=record.space,
        sources=record.sources,
        score=1.0 / (1.0 + nearest.distance),
        distance=nearest.distance,
        predicted_accuracy=None,
        predicted_interval=None,
        predicted_budget=None,
        head_accuracy=None,
        params=record.params,
        macs=record.macs,
        class_matches=tuple(
            ClassPair(match.target, nearest.source, match.source_class, match.distance) for match in matches
        ),
        repo=record.repo if isinstance(record, RemoteRecord) else None,
        commit=record.commit if isinstance(record, RemoteRecord) else None,
        licences=nearest.candidate.licences(),
        diverged=math.isinf(nearest.distance),
    )
