"""A query: shortlist from the index, filter by constraints, re-rank by a distance.

The shortlist is one call of FAISS over embeddings; the re-ranking compares the sketches class by class,
unless another distance is asked for, and says which of the target's classes lie near which of a source's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.distances import DatasetDistance, Measured, Source, Target, get_distance
from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import class_distance
from snt_zoo.errors import NoMatchError, RegistryError
from snt_zoo.registry.registry import Record, Registry

DEFAULT_DISTANCE = "class-ot"
SHORTLIST = 32  # supernets that are re-ranked; more where more answers are asked for


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
        params: weights of the network that the supernet's genotype derives to.
        macs: its multiply-accumulates for one image.
        class_matches: for each class of the target its counterpart, nearest first.
    """

    id: str
    space: str
    sources: tuple[str, ...]
    score: float
    distance: float
    predicted_accuracy: float | None
    params: int
    macs: int
    class_matches: tuple[ClassPair, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {
            "id": self.id,
            "space": self.space,
            "sources": list(self.sources),
            "score": self.score,
            "distance": self.distance,
            "predicted_accuracy": self.predicted_accuracy,
            "params": self.params,
            "macs": self.macs,
            "class_matches": [pair._asdict() for pair in self.class_matches],
        }


@dataclass(frozen=True)
class QueryResult(Sequence[Match]):
    """The matches of a query, nearest first.

    Args:
        matches: at least one.
        close: whether anything is close at all; None until abstention is calibrated.
        seconds: time of each stage.
        ranked_by: the distance that was used.
    """

    matches: tuple[Match, ...]
    close: bool | None
    seconds: Mapping[str, float]
    ranked_by: RankedBy

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
            "seconds": dict(self.seconds),
        }


def retrieve(
    registry: Registry,
    target: Sketch,
    *,
    k: int,
    data: ImageDataset | None = None,
    distance: str | DatasetDistance = DEFAULT_DISTANCE,
    keep: Callable[[Record], bool] = lambda record: True,
    seconds: Mapping[str, float] | None = None,
) -> QueryResult:
    """The k nearest supernets of a registry.

    Args:
        registry: where to look.
        target: sketch of the user's data.
        k: how many answers, at least 1.
        data: the images, for a distance that looks at them.
        distance: what re-ranks the shortlist, or its name.
        keep: constraint on the candidates.
        seconds: of the stages before, for the answer.

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
    records = {record.id: record for record in registry.list()}
    if not records:
        raise NoMatchError("the registry holds no supernet: add one with `snt-zoo add DIR`")
    allowed = {id for id, record in records.items() if keep(record)}
    if not allowed:
        raise NoMatchError(
            f"none of the {len(records)} supernets in the registry meets the constraints: raise "
            "--max-params or --max-macs, or drop --space or --exclude"
        )
    shortlist = registry.search(
        embed(target),
        max(k, SHORTLIST),
        backbone=target.backbone,
        encoder=ENCODER_ID,
        allowed=allowed,
    )
    listed = time.perf_counter()
    sources = [source for id, _ in shortlist for source in _sources(registry, id)]
    measured = measure(Target(target, data), sources)
    nearest: dict[str, tuple[Source, Measured]] = {}
    for source, found in zip(sources, measured, strict=True):
        if source.id not in nearest or found.distance < nearest[source.id][1].distance:
            nearest[source.id] = source, found
    best = sorted(nearest.values(), key=lambda pair: (pair[1].distance, pair[0].id))[:k]
    matches = tuple(_match(records[source.id], target, source, found) for source, found in best)
    ranked = time.perf_counter()
    times = dict(seconds or {}) | {"shortlist": listed - start, "rerank": ranked - listed}
    return QueryResult(matches, None, times, RankedBy(measure.name, best[0][1].level))


def _sources(registry: Registry, id: str) -> list[Source]:
    return [Source(id, sketch, lambda: registry.get(id).supernet) for sketch in registry.sketches(id)]


def _match(record: Record, target: Sketch, source: Source, found: Measured) -> Match:
    # A distance without a coupling ranks; which class lies near which is still told by transport.
    transport = found.transport or class_distance(target, source.sketch)
    return Match(
        id=record.id,
        space=record.space,
        sources=record.sources,
        score=1.0 / (1.0 + found.distance),
        distance=found.distance,
        predicted_accuracy=None,
        params=record.params,
        macs=record.macs,
        class_matches=tuple(
            ClassPair(match.target, source.sketch.name, match.source_class, match.distance)
            for match in transport.matches
        ),
    )
