"""Ways to normalise the class level: how well each tells pairs of one domain from pairs of two."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ot
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from benchmarks.collection import Item
from benchmarks.distance_domains import distance_matrix, same_domain_auc
from benchmarks.document import tell
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import bures_wasserstein
from snt_zoo.encoders.transport.class_level import SPREAD_SCALE, squared_distances

Cost = Callable[[Sketch, Sketch], float]
NAMED = ("class-ot", "otdd", "class-means", "frechet", "mean-feature")


def means_only(a: Sketch, b: Sketch) -> float:
    """Transport of the class means."""
    return math.sqrt(_cost(a, b, squared_distances(a.means.double(), b.means.double())))


def unbiased_means(a: Sketch, b: Sketch, drawn: Mapping[str, Tensor]) -> float:
    """Less what distances of means gain from small classes: the variance of each mean."""
    costs = bures_wasserstein(a, b)
    costs = costs - (_traces(a) / drawn[a.name])[:, None] - _traces(b) / drawn[b.name]
    return math.sqrt(max(_cost(a, b, costs), 0.0))


def half_of_the_mass(a: Sketch, b: Sketch) -> float:
    """Partial transport: the cheapest half of the mass."""
    costs = bures_wasserstein(a, b).numpy()
    plan = ot.partial.partial_wasserstein(a.frequencies.numpy(), b.frequencies.numpy(), costs, m=0.5)
    return math.sqrt(float((plan * costs).sum()))


def over_spreads(a: Sketch, b: Sketch) -> float:
    """Divided by the root of both mean spreads."""
    spread = float((_traces(a) * a.frequencies).sum() * (_traces(b) * b.frequencies).sum())
    return math.sqrt(_cost(a, b, bures_wasserstein(a, b)) / math.sqrt(spread))


def whitened(items: Sequence[Item]) -> list[Sketch]:
    """Sketches of features whitened by the common within-class covariance, half shrunk."""
    residuals = []
    for item in items:
        counts = torch.bincount(item.labels).double()
        means = torch.zeros(len(counts), item.features.shape[1], dtype=torch.float64)
        means.index_add_(0, item.labels, item.features.double())
        residuals.append(item.features.double() - (means / counts[:, None])[item.labels])
    values, vectors = torch.linalg.eigh(torch.cov(torch.cat(residuals).T))
    root = vectors * (values + values.mean()).rsqrt() @ vectors.mT / 8
    return [replace(item, features=(item.features.double() @ root).float()).sketch() for item in items]


def _traces(sketch: Sketch) -> Tensor:
    return SPREAD_SCALE * sketch.roots.square().sum((1, 2))


def _cost(a: Sketch, b: Sketch, costs: Tensor) -> float:
    return float(ot.emd2(a.frequencies.numpy(), b.frequencies.numpy(), costs.numpy()))


def pairwise(sketches: Sequence[Sketch], cost: Cost) -> Tensor:
    """A symmetric matrix of a cost."""
    out = torch.zeros(len(sketches), len(sketches), dtype=torch.float64)
    for i, j in itertools.combinations(range(len(sketches)), 2):
        out[i, j] = out[j, i] = cost(sketches[i], sketches[j])
    return out


def variants(items: Sequence[Item]) -> list[dict[str, Any]]:
    """A row for each distance and each variant."""
    sketches = [item.sketch() for item in items]
    drawn = {item.name: torch.bincount(item.labels).double() for item in items}
    matrices: dict[str, Callable[[], Tensor]] = {
        name: lambda name=name: distance_matrix(name, sketches)  # type: ignore[misc]
        for name in NAMED
    }
    matrices |= {
        "class-ot, means only": lambda: pairwise(sketches, means_only),
        "class-ot, unbiased means": lambda: pairwise(sketches, lambda a, b: unbiased_means(a, b, drawn)),
        "class-ot, half of the mass": lambda: pairwise(sketches, half_of_the_mass),
        "class-ot, over spreads": lambda: pairwise(sketches, over_spreads),
        "class-ot, whitened": lambda: distance_matrix("class-ot", whitened(items)),
    }
    rows = []
    for name, make in matrices.items():
        rows.append({"study": "variants", "distance": name, **_likeness(items, make())})
        tell(rows[-1])
    return rows


def _likeness(items: Sequence[Item], matrix: Tensor) -> dict[str, float]:
    places = np.triu_indices(len(items), 1)
    found = ((matrix + matrix.T) / 2).numpy()[places]

    def differ(key: Callable[[Item], Any]) -> NDArray[np.bool_]:
        return np.array(
            [key(items[i]) != key(items[j]) for i, j in zip(*(p.tolist() for p in places), strict=True)]
        )

    logs = np.log([len(item.counts) for item in items])
    ratio = np.abs(logs[places[0]] - logs[places[1]])
    same, colour = ~differ(lambda item: item.domain), differ(lambda item: len(item.shape))
    sized = differ(lambda item: item.shape[0])
    won = pairs = 0.0
    for band, tinted in itertools.product(range(3), (False, True)):
        alike = (np.digitize(ratio, [0.3, 0.8]) == band) & (colour == tinted) & ~sized
        ones, zeros = int((alike & same).sum()), int((alike & ~same).sum())
        if ones and zeros:
            below = rankdata(found[alike])[same[alike]].sum() - ones * (ones + 1) / 2
            won, pairs = won + ones * zeros - below, pairs + ones * zeros
    apart = matrix.clone()
    apart.fill_diagonal_(float("inf"))
    nearest = [items[place].domain for place in apart.argmin(1).tolist()]
    domains = [item.domain for item in items]
    asked = [place for place, domain in enumerate(domains) if domains.count(domain) > 1]
    return {
        "auc": round(same_domain_auc(items, matrix), 4),
        "auc_alike_in_classes_colour_size": round(float(won / pairs), 4),
        "nearest_of_same_domain": round(statistics.mean(domains[p] == nearest[p] for p in asked), 4),
        "spearman_with_log_ratio_of_classes_within_domains": _spearman(found[same], ratio[same]),
        "spearman_with_log_ratio_of_classes_across_domains": _spearman(found[~same], ratio[~same]),
    }


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return round(float(spearmanr(x, y).statistic), 4)
