"""Two datasets compared by Optimal Transport: the answer of `Zoo.distance`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import Transport, class_distance, dataset_distance
from snt_zoo.workflows.shelves import Shelves


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
    zoo: Shelves,
    target: ImageDataset | Sketch | str,
    source: ImageDataset | Sketch | str,
    *,
    level: Literal["class", "samples"] = "class",
    backbone: str = DEFAULT_BACKBONE,
    **options: Any,
) -> Comparison:
    """How far two datasets are from each other, and which class lies near which.

    Args:
        zoo: that has the supernets.
        target: labelled images, their sketch, or the id of a supernet: the dataset that it was trained on; of
            several the one that is nearest.
        source: likewise.
        level: between Gaussians of the classes, or between sampled images.
        backbone: makes the sketches.
        options: of `transport.class_distance` or, between samples, `transport.dataset_distance`.

    Raises:
        NotInRegistryError: an id fits no supernet, or several.
        IndexMismatchError: the two were sketched by different backbones.
        TimeLimitError: the method did not end in time.
    """
    measure = class_distance if level == "class" else dataset_distance
    sides = [_sketches(zoo, side, backbone) for side in (target, source)]
    found = (Comparison(measure(a, b, **options), a, b) for a, b in itertools.product(*sides))
    return min(found, key=lambda answer: answer.distance)


def _sketches(zoo: Shelves, side: ImageDataset | Sketch | str, backbone: str) -> Sequence[Sketch]:
    if isinstance(side, str):
        return zoo.registry.sketches(zoo.registry.resolve(side))
    return [Target.of(side, backbone).sketch]
