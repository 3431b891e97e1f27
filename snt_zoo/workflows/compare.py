"""Two datasets compared by Optimal Transport: what `Zoo.distance` answers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import Transport, class_distance, dataset_distance


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answer, and what was compared.

    Args:
        transport: distance, level, parts and coupling of the classes.
        target: sketch of the one side.
        source: sketch of the other.
    """

    transport: Transport
    target: Sketch
    source: Sketch

    @property
    def distance(self) -> float:
        """At least 0; symmetric, and zero for a dataset and itself."""
        return self.transport.distance

    def draw(self, path: str | Path) -> Path:
        """Write a picture of the coupling; png, svg or pdf.

        Raises:
            UnknownFormatError: another suffix.
        """
        from snt_zoo.encoders.transport.picture import draw_coupling

        return draw_coupling(self.transport, path, target=self.target.name, source=self.source.name)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the command line prints it."""
        sides = {"a": self.target, "b": self.source}
        return {side: {"name": s.name, "classes": len(s.class_names)} for side, s in sides.items()} | {
            "distance": self.transport.distance,
            "level": self.transport.level,
            "parts": dict(self.transport.parts),
            "class_matches": [vars(match) for match in self.transport.matches],
        }


def compare(
    targets: Sequence[Sketch],
    sources: Sequence[Sketch],
    *,
    level: Literal["class", "samples"] = "class",
    **options: Any,
) -> Comparison:
    """The nearest pair of two groups of sketches.

    Args:
        targets: at least one.
        sources: at least one.
        level: between Gaussians of the classes, or between sampled images.
        options: of `class_distance` or `dataset_distance`.
    """
    measure = class_distance if level == "class" else dataset_distance
    pairs = itertools.product(targets, sources)
    found = (Comparison(measure(a, b, **options), a, b) for a, b in pairs)
    return min(found, key=lambda answer: answer.distance)
