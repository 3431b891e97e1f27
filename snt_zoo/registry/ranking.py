"""How the candidates of a query are found and ordered, whoever made them.

What is on the Hub is what somebody says of a supernet that nobody here has pulled. So one that is large, far
away or one of many of its owner must not change how the others are ranked, nor take their place.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from snt_zoo.encoders.distances import DatasetDistance, Source
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport.coupling import ClassMatch, Transport
from snt_zoo.errors import BundleError, DatasetError, NotInRegistryError, leaving_out
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.bundle.folder import CONFIG, read_file
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.registry import Registry

EQUAL = 1e-4  # distances that differ by less, as a share of the larger one, are equal
CLASSES_AT_ONCE = 4096
"""Classes of the sources whose sketches are in memory at once, at 6 KB each, and one supernet's more."""
CLASSES_TOGETHER = 32_768
"""The same for a distance that measures all at once; what is beyond it is not ranked."""


class Candidate(NamedTuple):
    """A supernet of the shortlist, and where it is."""

    record: Record | RemoteRecord
    shelf: Registry | HubCache

    def sketches(self) -> tuple[Sketch, ...]:
        """None if it was removed since it was found, or cannot be read: one must not stop all."""
        found: tuple[Sketch, ...] = ()
        with leaving_out(self.record.id), contextlib.suppress(NotInRegistryError):
            if isinstance(self.shelf, Registry):
                found = self.shelf.sketches(self.record.id, digest=self.record.digest)
            else:
                found = self.shelf.sketches(self.record.digest)
        return found

    def licences(self) -> tuple[str, ...]:
        """Its own, then those of the datasets that it was trained on, each once."""
        if isinstance(self.record, RemoteRecord):
            of_sources: Iterable[str] = self.record.source_licences
        else:
            of_sources = said(self.record).source_licences
        return tuple(dict.fromkeys([self.record.licence, *of_sources]))

    def load(self) -> Supernet:
        """Its network."""
        if isinstance(self.shelf, Registry):
            return self.shelf.get(self.record.id).supernet
        raise DatasetError(
            f"the weights of {self.record.id} are on the Hub, and this distance needs them: pull it first, "
            "or take a distance between sketches"
        )

    def sources(self) -> list[Source]:
        """The datasets that it was trained on."""
        return [Source(self.record.id, sketch, self.load) for sketch in self.sketches()]


class KeptCoupling(NamedTuple):
    """What is left of a coupling that was kept."""

    matches: tuple[ClassMatch, ...]


@dataclass(frozen=True)
class Nearest:
    """A candidate with the nearest of its sources; the sketches are not kept, which can be large.

    Args:
        candidate: of the shortlist.
        number: of the source.
        source: its name.
        distance: to the target.
        level: how that was computed.
        coupling: has the `matches` that say which of the target's classes lies near which; None of a distance
            without one.
    """

    candidate: Candidate
    number: int
    source: str
    distance: float
    level: str
    coupling: Transport | KeptCoupling | None

    @property
    def order(self) -> tuple[bool, int, float, str, str]:
        """Orders what is equally near, the smallest first: here, breadth, accuracy, id.

        What nobody has pulled comes last, since what is said of it are its author's claims; its accuracy is
        not asked at all.
        """
        record = self.candidate.record
        local = isinstance(record, Record)
        accuracy = record.val_accuracy if isinstance(record, Record) else None
        return not local, len(record.sources), -(accuracy or 0.0), record.id, record.digest


class Said(NamedTuple):
    """What a bundle's config says that the catalog does not hold, and a query asks."""

    source_licences: tuple[str, ...] = ()
    input_size: int = 32


def said(record: Record) -> Said:
    """Of a bundle; nothing if it was removed meanwhile."""
    try:
        return _read_config(record.path, record.digest)
    except BundleError:
        return Said()


@functools.lru_cache(maxsize=131_072)
def _read_config(path: Path, digest: str) -> Said:
    """Read once: what a digest names never changes."""
    config = BundleConfig.from_bytes(read_file(path, CONFIG))
    return Said(tuple(config.source_licences.values()), config.network.input_size)


def shortlist(
    registry: Registry, target: Target, count: int, *, where: Filter, hub: HubCache | None = None
) -> list[Candidate]:
    """The supernets whose embeddings are nearest, here and on the Hub.

    Args:
        registry: where to look.
        target: the user's data.
        count: how many of either, at most.
        where: constraints on them.
        hub: where to look as well; a supernet that is also in the registry is taken from there.
    """
    nearest = registry.search(target.sketch, count, where=where)
    here = registry.to_rank([id for id, _ in nearest])
    found = [Candidate(record, registry) for record in here.values()]
    if hub is not None:
        seen = {one.digest: one for one in hub.list() if where.fits(one)}
        known = registry.records([one.id for one in seen.values()])
        seen = {digest: one for digest, one in seen.items() if one.id not in known}
        if seen:
            there = hub.search(target.sketch, count, allowed=set(seen))
            found += [Candidate(seen[digest], hub) for digest, _ in there]
    return found


def nearest_sources(target: Target, found: Iterable[Candidate], measure: DatasetDistance) -> list[Nearest]:
    """Of each candidate the nearest source; so many are measured at once as fit into memory."""
    best: list[Nearest] = []
    for chunk in _chunks(found, CLASSES_AT_ONCE if measure.one_by_one else CLASSES_TOGETHER):
        sources = [source for _, each in chunk for source in each]
        answers = iter(measure(target, sources))
        for candidate, each in chunk:
            measured = list(itertools.islice(answers, len(each)))
            number = min(range(len(each)), key=lambda i: measured[i].distance)
            one = measured[number]
            if math.isnan(one.distance):  # it was left out
                continue
            name = each[number].sketch.name
            best.append(Nearest(candidate, number, name, one.distance, one.level, one.transport))
        if not measure.one_by_one:  # answers of different chunks would not compare
            break
    return best


def _chunks(found: Iterable[Candidate], most: int) -> Iterator[list[tuple[Candidate, list[Source]]]]:
    """The candidates with their sources, in lists of about so many classes."""
    chunk: list[tuple[Candidate, list[Source]]] = []
    held: set[Sketch] = set()  # one that several have is one object
    classes = 0
    for candidate in found:
        sources = candidate.sources()
        own = {source.sketch for source in sources}
        more = sum(len(sketch.class_names) for sketch in own - held)
        if chunk and classes + more > most:
            yield chunk
            chunk, held, classes = [], set(), 0
            more = sum(len(sketch.class_names) for sketch in own)
        if sources:
            chunk.append((candidate, sources))
            held |= own
            classes += more
    if chunk:
        yield chunk


def ranked(found: Iterable[Nearest], *, rounding: float = 0.0) -> list[Nearest]:
    """Nearest first; of equals those that are here, of these those that were trained on the fewest sources.

    A generalist is as near as the supernet of its nearest source alone, which was trained on nothing else;
    but for rounding, where their sketches of that source were made by different releases. What is equal is
    decided between two: one that is far away says nothing of those that are near.

    Args:
        found: in any order.
        rounding: of the distance, where it is about 0.
    """
    groups: list[list[Nearest]] = []
    for one in sorted(found, key=lambda each: each.distance):
        if not groups or one.distance - groups[-1][0].distance > rounding + EQUAL * one.distance:
            groups.append([])
        groups[-1].append(one)
    return [one for group in groups for one in sorted(group, key=lambda each: each.order)]
