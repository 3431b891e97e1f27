"""Distances between labelled datasets by Optimal Transport, from cheap to dear.

| level | between | needs | function |
|---|---|---|---|
| `class` | Gaussians of the classes, exact | two sketches | `class_distance`, `class_distances` |
| `entropic` | samples, debiased Sinkhorn divergence | some samples | `dataset_distance(method="entropic")` |
| `exact` | samples, network simplex | some samples | `dataset_distance(method="exact")` |

Every answer is a `Transport`: the distance, its level and parts, and the coupling of the classes.
"""

from snt_zoo.encoders.transport.class_level import bures_wasserstein, class_distance, class_distances
from snt_zoo.encoders.transport.coupling import ClassMatch, Level, Transport
from snt_zoo.encoders.transport.sample_level import EPSILON, Method, dataset_distance, dataset_distances
from snt_zoo.encoders.transport.samples import LabelledSamples

__all__ = [
    "EPSILON",
    "ClassMatch",
    "LabelledSamples",
    "Level",
    "Method",
    "Transport",
    "bures_wasserstein",
    "class_distance",
    "class_distances",
    "dataset_distance",
    "dataset_distances",
]
