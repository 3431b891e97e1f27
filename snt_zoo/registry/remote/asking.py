"""A query of a registry at a URL: the sketch goes there, the answer is that of a registry here."""

from __future__ import annotations

import math

from snt_zoo.encoders.distances import DatasetDistance
from snt_zoo.encoders.target import Target
from snt_zoo.errors import RegistryError
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.remote.documents import Match as MatchDocument
from snt_zoo.registry.remote.registry import RemoteRegistry
from snt_zoo.registry.retrieval import (
    BY_DISTANCE,
    DEFAULT_DISTANCE,
    ClassPair,
    Match,
    QueryResult,
    RankedBy,
)
from snt_zoo.registry.retrieval import retrieve as retrieve_here


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
    """The k nearest supernets of a registry, wherever it is; see `retrieval.retrieve`."""
    if not isinstance(registry, RemoteRegistry):
        return retrieve_here(registry, target, k=k, by=by, distance=distance, where=where, hub=hub)
    if hub is not None or not isinstance(distance, str):
        raise RegistryError(
            "a service ranks its own supernets by a distance that it has by name: leave out --hub, and give "
            "the name"
        )
    sketch = dump_sketches([target.sketch])
    found = registry.ask(sketch, k=k, by=by, distance=distance, where=where or Filter())
    return QueryResult(
        tuple(map(_match, found.matches)),
        found.close,
        found.seconds,
        RankedBy(**found.ranked_by.model_dump()),
        predicted_probe=found.predicted_probe,
    )


def _match(document: MatchDocument) -> Match:
    fields = document.model_dump()
    lists = {name: tuple(fields[name]) for name in ("sources", "licences")}
    pairs = tuple(ClassPair(**each.model_dump()) for each in document.class_matches)
    distance = math.inf if document.distance is None else document.distance
    return Match(**{**fields, **lists, "class_matches": pairs, "distance": distance})
