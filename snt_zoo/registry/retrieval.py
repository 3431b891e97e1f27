"""A query: shortlist from the index, filter by constraints, re-rank by Optimal Transport.

The shortlist is one call of FAISS over embeddings; the re-ranking compares the sketches class by class and
says which of the target's classes lie near which of a source's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol, overload

from torch import Tensor

from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import Transport, class_distance
from snt_zoo.errors import NoMatchError, NotInRegistryError, RegistryError
from snt_zoo.registry.filters import Candidate, Filter
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.registry import Registry

SHORTLIST = 32  # supernets that are re-ranked; more where more answers are asked for


class Shelf(Protocol):
    """What is known of supernets that are elsewhere, as on the Hub."""

    def list(self) -> Sequence[Candidate]:
        """All of them."""

    def search(
        self, vector: Tensor, k: int, *, backbone: str, encoder: str, allowed: AbstractSet[str] | None = None
    ) -> Sequence[tuple[str, float]]:
        """Ids and cosines of the nearest."""

    def sketches(self, id: str) -> tuple[Sketch, ...]:
        """What one was trained on."""


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
        distance: Optimal Transport between the target's classes and those of the nearest source.
        predicted_accuracy: None until a predictor is there.
        params: weights of the network that the supernet's genotype derives to.
        macs: its multiply-accumulates for one image.
        class_matches: for each class of the target its counterpart, nearest first.
        repo: ``owner/name`` on the Hub, if the supernet is there and not on this machine; then its
            figures are its author's claims, which are checked when it is pulled.
        commit: at which it was seen there.
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
    repo: str | None = None
    commit: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it has to be pulled before it can be used."""
        return self.repo is not None

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
        } | ({"remote": True, "repo": self.repo, "commit": self.commit} if self.remote else {})


@dataclass(frozen=True)
class QueryResult(Sequence[Match]):
    """The matches of a query, nearest first.

    Args:
        matches: at least one.
        close: whether anything is close at all; None until abstention is calibrated.
        seconds: time of each stage.
    """

    matches: tuple[Match, ...]
    close: bool | None
    seconds: Mapping[str, float]

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
            "seconds": dict(self.seconds),
        }


def retrieve(
    registry: Registry,
    target: Sketch,
    *,
    k: int,
    where: Filter | None = None,
    hub: Shelf | None = None,
    seconds: Mapping[str, float] | None = None,
) -> QueryResult:
    """The k nearest supernets of a registry.

    Args:
        registry: where to look. SQLite and the index keep to the constraints, so that of a registry of
            any size only the rows of the shortlist are read.
        target: sketch of the user's data.
        k: how many answers, at least 1.
        where: constraints on the candidates.
        hub: where to look as well; a supernet that is also in the registry is taken from there.
        seconds: of the stages before, for the answer.

    Raises:
        RegistryError: `k` is below 1.
        NoMatchError: the registry is empty, or nothing meets the constraint.
        IndexMismatchError: the registry was made with another backbone.
    """
    if k < 1:
        raise RegistryError(f"k must be at least 1, got {k}: ask for one answer or more")
    start = time.perf_counter()
    where = where or Filter()
    count, vector = max(k, SHORTLIST), embed(target)
    backbone = target.backbone
    nearest = registry.search(vector, count, backbone=backbone, encoder=ENCODER_ID, where=where)
    here = registry.records([id for id, _ in nearest])
    found: list[tuple[Candidate, Registry | Shelf]] = [(record, registry) for record in here.values()]
    if hub is not None:
        seen = {one.id: one for one in hub.list() if where.fits(one)}
        for id in registry.records([*seen]):
            del seen[id]
        if seen:
            there = hub.search(vector, count, backbone=backbone, encoder=ENCODER_ID, allowed=set(seen))
            found += [(seen[id], hub) for id, _ in there]
    listed = time.perf_counter()
    compared = [_match(shelf, candidate, target) for candidate, shelf in found]
    matches = sorted(
        (match for match in compared if match is not None), key=lambda match: (match.distance, match.id)
    )
    if not matches:
        _explain(registry.count() + (0 if hub is None else len(hub.list())))
    ranked = time.perf_counter()
    times = dict(seconds or {}) | {"shortlist": listed - start, "rerank": ranked - listed}
    return QueryResult(tuple(matches[:k]), None, times)


def _explain(count: int) -> NoReturn:
    if not count:
        raise NoMatchError("the registry holds no supernet: add one with `snt-zoo add DIR`")
    raise NoMatchError(
        f"none of the {count} supernets in the registry meets the constraints: raise "
        "--max-params or --max-macs, or drop --space or --exclude"
    )


def _match(shelf: Registry | Shelf, candidate: Candidate, target: Sketch) -> Match | None:
    """The comparison with one candidate; None if it was removed since it was found."""
    try:
        sources = shelf.sketches(candidate.id)
    except NotInRegistryError:
        return None
    compared: list[tuple[Sketch, Transport]] = [
        (source, class_distance(target, source)) for source in sources
    ]
    nearest, transport = min(compared, key=lambda pair: pair[1].distance)
    return Match(
        id=candidate.id,
        space=candidate.space,
        sources=candidate.sources,
        score=1.0 / (1.0 + transport.distance),
        distance=transport.distance,
        predicted_accuracy=None,
        params=candidate.params,
        macs=candidate.macs,
        class_matches=tuple(
            ClassPair(match.target, nearest.name, match.source_class, match.distance)
            for match in transport.matches
        ),
        repo=candidate.repo if isinstance(candidate, RemoteRecord) else None,
        commit=candidate.commit if isinstance(candidate, RemoteRecord) else None,
    )
