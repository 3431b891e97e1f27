"""Optimal Transport as a distance to the zoo's sources."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from snt_zoo.encoders.distances.base import DatasetDistance, Measured, Source, register_distance
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import Method, class_distances, dataset_distances
from snt_zoo.encoders.transport.sample_level import EPSILON

TIME_LIMIT = 10.0
"""Seconds for all sources of a query: 32 sources at 256 samples take 1 to 2 s exactly."""


ROUNDING = 1e-4
"""Of lengths about 1 in float16; 5e-5 was seen, of a sketch in format 1 and the same in format 2."""


@register_distance("class-ot")
class ClassTransport(DatasetDistance):
    """Transport between class Gaussians; see `transport.class_distances`.

    Args:
        device: where costs are computed.
        nearest: supernets that are wanted; those that cannot be among them are told by an estimate, which is
            half of the time. None for all.
    """

    rounding = ROUNDING

    def __init__(self, *, device: torch.device | str = "cpu", nearest: int | None = None) -> None:
        self.device = device
        self.nearest = nearest

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        sketches = [source.sketch for source in sources]
        owners = [source.id for source in sources]
        found = class_distances(
            target.sketch, sketches, device=self.device, nearest=self.nearest, owners=owners
        )
        return [Measured(transport.distance, transport.level, transport) for transport in found]


@register_distance("otdd")
class SampleTransport(DatasetDistance):
    """OTDD between the samples of the sketches; see `transport.dataset_distances`.

    Args:
        method: `exact`, `entropic`, `class`, or `auto`: the first that ends in time for all sources.
        samples: of each sketch; all by default, up to 256.
        epsilon: strength of the entropy.
        time_limit: seconds for all sources.
        device: where costs are computed.
    """

    rounding = ROUNDING
    one_by_one = False  # the first level that ends in time for all

    def __init__(
        self,
        *,
        method: Method = "auto",
        samples: int | None = None,
        epsilon: float = EPSILON,
        time_limit: float | None = TIME_LIMIT,
        device: torch.device | str = "cpu",
    ) -> None:
        self.method = method
        self.samples = samples
        self.epsilon = epsilon
        self.time_limit = time_limit
        self.device = device

    def measure(self, target: Target, sources: Sequence[Source]) -> list[Measured]:
        found = dataset_distances(
            target.sketch,
            [source.sketch for source in sources],
            method=self.method,
            samples=self.samples,
            epsilon=self.epsilon,
            time_limit=self.time_limit,
            device=self.device,
        )
        return [Measured(transport.distance, transport.level, transport) for transport in found]
