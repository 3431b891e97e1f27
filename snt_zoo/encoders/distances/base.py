"""What every distance between a target and the zoo's sources has in common, and how it is found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from snt_zoo.components import Components
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import Transport
from snt_zoo.encoders.transport.class_level import check_comparable
from snt_zoo.errors import DatasetError
from snt_zoo.networks.supernet import Supernet


@dataclass(frozen=True, eq=False)
class Source:
    """A dataset of the zoo.

    Args:
        id: of the supernet; a supernet of several datasets gives several sources.
        sketch: of the dataset.
        load: gives the supernet, for the distances that need it.
    """

    id: str
    sketch: Sketch
    load: Callable[[], Supernet] | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """How far a source is.

    Args:
        distance: at least 0, smaller is nearer; distances of different names or levels are not compared.
            Infinite for a source whose network computes no numbers.
        level: how it was computed: `exact`, `entropic` or `class` for transport, else the distance's name.
        transport: coupling of the classes, where there is one.
    """

    distance: float
    level: str
    transport: Transport | None = None


class DatasetDistance(ABC):
    """A way to say how far the zoo's sources are from a target."""

    name: ClassVar[str]
    needs_images: ClassVar[bool] = False
    """Whether a target's sketch is not enough."""
    rounding: ClassVar[float] = 0.0
    """What a dataset can be away from itself, where two releases wrote its sketch."""
    one_by_one: ClassVar[bool] = True
    """Whether what is said of a source does not depend on which others are asked about with it."""

    def __call__(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        """One answer for each source, in order, all comparable with each other.

        Raises:
            IndexMismatchError: sketches of different backbones.
            DatasetError: the target's images are needed and were not given.
        """
        for source in sources:
            check_comparable(target.sketch, source.sketch)
        if self.needs_images and target.data is None:
            raise DatasetError(
                f"the distance {self.name!r} looks at images, and only a sketch was given: give the dataset, "
                "or take a distance between sketches"
            )
        return self.measure(target, sources) if sources else []

    @abstractmethod
    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        """`__call__` for at least one source, after its checks."""

    def plain(self, distances: Sequence[float]) -> list[Measured]:
        """Answers without a coupling."""
        return [Measured(float(distance), self.name) for distance in distances]


DISTANCES: Components[type[DatasetDistance]] = Components("distance")
register_distance = DISTANCES.register
list_distances = DISTANCES.names
"""The names of the distances, sorted."""


def get_distance(name: str, **options: Any) -> DatasetDistance:
    """A distance by name.

    Args:
        name: as in `list_distances`.
        options: of its constructor.

    Example:
        >>> get_distance("class-ot").needs_images
        False

    Raises:
        UnknownComponentError: no such distance.
    """
    return DISTANCES.get(name)(**options)
