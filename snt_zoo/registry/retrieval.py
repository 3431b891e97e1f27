"""A query: shortlist from the index, filter by constraints, re-rank by Optimal Transport.

The shortlist is one call of FAISS over embeddings; the re-ranking compares the sketches class by class and
says which of the target's classes lie near which of a source's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, overload

from torch import Tensor

from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import Transport, class_distance
from snt_zoo.errors import NoMatchError, RegistryError
from snt_zoo.registry.hub.seen import RemoteRecord

SHORTLIST = 32  # supernets that are re-ranked; more where more answers are asked for


class Candidate(Protocol):
    """What a query must know of a supernet before it compares sketches."""

    @property
    def id(self) -> str:
        """Name and start of the digest."""

    @property
    def space(self) -> str:
        """Search space."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the datasets it was trained on."""

    @property
    def tags(self) -> tuple[str, ...]:
        """As its author gave them."""

    @property
    def params(self) -> int:
        """Weights of the network that its genotype derives to."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of that network."""


class Shelf(Protocol):
    """Where supernets stand: the registry, or what is known of the Hub."""

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
    registry: Shelf,
    target: Sketch,
    *,
    k: int,
    keep: Callable[[Candidate], bool] = lambda candidate: True,
    hub: Shelf | None = None,
    seconds: Mapping[str, float] | None = None,
) -> QueryResult:
    """The k nearest supernets of a registry.

    Args:
        registry: where to look.
        target: sketch of the user's data.
        k: how many answers, at least 1.
        keep: constraint on the candidates.
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
    found: list[tuple[Candidate, Shelf]] = []
    known: dict[str, Candidate] = {}
    for shelf in (registry,) if hub is None else (registry, hub):
        here = {one.id: one for one in shelf.list() if one.id not in known}
        known |= here
        allowed = {id for id, one in here.items() if keep(one)}
        if allowed:
            shortlist = shelf.search(
                embed(target),
                max(k, SHORTLIST),
                backbone=target.backbone,
                encoder=ENCODER_ID,
                allowed=allowed,
            )
            found += [(here[id], shelf) for id, _ in shortlist]
    if not known:
        raise NoMatchError("the registry holds no supernet: add one with `snt-zoo add DIR`")
    if not found:
        raise NoMatchError(
            f"none of the {len(known)} supernets in the registry meets the constraints: raise "
            "--max-params or --max-macs, or drop --space or --exclude"
        )
    listed = time.perf_counter()
    matches = sorted(
        (_match(shelf, candidate, target) for candidate, shelf in found),
        key=lambda match: (match.distance, match.id),
    )
    ranked = time.perf_counter()
    times = dict(seconds or {}) | {"shortlist": listed - start, "rerank": ranked - listed}
    return QueryResult(tuple(matches[:k]), None, times)


def _match(shelf: Shelf, candidate: Candidate, target: Sketch) -> Match:
    compared: list[tuple[Sketch, Transport]] = [
        (source, class_distance(target, source)) for source in shelf.sketches(candidate.id)
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
