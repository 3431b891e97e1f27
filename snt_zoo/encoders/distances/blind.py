"""Rankings that do not look at the target: what a distance has to beat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from snt_zoo.encoders.distances.base import DatasetDistance, Measured, Source, register_distance
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import class_distances


@register_distance("random")
class Random(DatasetDistance):
    """A number from 0 to 1 for each pair of names; the same every time.

    Args:
        seed: another one gives another ranking.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        return self.plain([self._draw(target.sketch.name, source) for source in sources])

    def _draw(self, name: str, source: Source) -> float:
        text = "\0".join((str(self.seed), name, source.id, source.sketch.name))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


@register_distance("static")
class Static(DatasetDistance):
    """One ranking for every target: the best source on average.

    Where transfer was measured, give the averages. Else it is the source that lies most in the middle of the
    candidates: the mean of its class-level distances to the others.

    Args:
        averages: mean accuracy from 0 to 1 that was reached from each supernet, by id.
    """

    one_by_one = False

    def __init__(self, *, averages: Mapping[str, float] | None = None) -> None:
        self.averages = averages

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        if self.averages is not None:
            return self.plain([1 - self.averages.get(source.id, 0.0) for source in sources])
        sketches = [source.sketch for source in sources]
        means = []
        for place, sketch in enumerate(sketches):
            others = sketches[:place] + sketches[place + 1 :]
            distances = [found.distance for found in class_distances(sketch, others)]
            means.append(sum(distances) / max(len(distances), 1))
        return self.plain(means)
