"""Distances from a target to the zoo's sources, found by name.

| name | compares | needs besides sketches |
|---|---|---|
| `class-ot` | Gaussians of the classes, by transport: the default of a query | |
| `otdd` | samples with their labels, by transport | |
| `class-means` | each class mean with the nearest of the other side | |
| `frechet` | one Gaussian for each dataset | |
| `mean-feature` | the mean features, by their cosine | |
| `logme` | the source's network with the target's labels | images, networks |
| `static` | nothing: one ranking for all targets | |
| `random` | nothing | |

A new one is a subclass of `DatasetDistance` in a file here, under `@register_distance(name)`.
"""

from snt_zoo.encoders.distances import blind, logme, moments, transports
from snt_zoo.encoders.distances.base import (
    DatasetDistance,
    Measured,
    Source,
    get_distance,
    list_distances,
    register_distance,
)

__all__ = [
    "DatasetDistance",
    "Measured",
    "Source",
    "blind",
    "get_distance",
    "list_distances",
    "logme",
    "moments",
    "register_distance",
    "transports",
]
