"""Which estimate of a small class's covariance keeps the distances between datasets?"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from benchmarks.collection import Item
from benchmarks.document import tell
from snt_zoo.encoders.shrinkage import class_covariances
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.transport import class_distances

_SIZES = (3, 5, 10, 23, 50)  # images of a class


def estimates() -> dict[str, Callable[[Tensor, Tensor, int], Tensor]]:
    """Ways to estimate class covariances ``k x d x d`` of features and labels."""

    def own(x: Tensor, y: Tensor, k: int) -> Tensor:
        return torch.stack([torch.cov(x[y == label].T) for label in range(k)])

    def pooled(x: Tensor, y: Tensor, k: int) -> Tensor:
        degrees = torch.bincount(y, minlength=k).double() - 1
        common = (own(x, y, k) * degrees[:, None, None]).sum(0) / degrees.sum()
        return common.expand(k, -1, -1)

    def fixed(x: Tensor, y: Tensor, k: int) -> Tensor:
        degrees = torch.bincount(y, minlength=k).double() - 1
        weight = (degrees / (degrees + 20))[:, None, None]
        return weight * own(x, y, k) + (1 - weight) * pooled(x, y, k)

    def wolf(x: Tensor, y: Tensor, k: int) -> Tensor:
        return torch.stack([torch.from_numpy(ledoit_wolf(x[y == c].numpy())[0]) for c in range(k)])

    return {
        "none": own,
        "pooled": pooled,
        "pooled, weight 20 / (n + 19)": fixed,
        "Ledoit-Wolf": wolf,
        "OAS": class_covariances,
    }


def shrinkage(items: Sequence[Item], *, repeats: int = 4) -> list[dict[str, Any]]:
    """Class-level distances of datasets cut to unequal, small classes, against those of all images.

    Means are those of all images throughout: only covariances are estimated. The reference is not shrunk.
    """
    large = [item for item in items if int(torch.bincount(item.labels).min()) >= max(_SIZES)]
    makers = estimates()
    whole = [_with_covariances(item, torch.arange(len(item.labels)), makers["none"]) for item in large]
    reference = _upper(whole)
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in makers}
    for seed in range(repeats):
        draw = random.Random(seed)
        parts = [_first(item, draw.choice(_SIZES)) for item in large]
        for name, make in makers.items():
            sketches = [_with_covariances(i, part, make) for i, part in zip(large, parts, strict=True)]
            found = _upper(sketches)
            ratio, order = found / reference, float(spearmanr(found, reference).statistic)
            results[name].append((order, float(ratio.mean() - 1), float(ratio.std())))
    rows = []
    for name, repeated in results.items():
        spearman, bias, spread = (statistics.mean(column) for column in zip(*repeated, strict=True))
        row = {"study": "shrinkage", "estimate": name, "datasets": len(large)}
        measured = {"spearman": spearman, "relative_bias": bias, "relative_spread": spread}
        rows.append(row | {key: round(value, 4) for key, value in measured.items()})
        tell(rows[-1])
    return rows


def _first(item: Item, size: int) -> Tensor:
    return torch.cat([(item.labels == k).nonzero().flatten()[:size] for k in range(len(item.counts))])


def _with_covariances(item: Item, part: Tensor, make: Callable[[Tensor, Tensor, int], Tensor]) -> Sketch:
    features = item.features[part][:, :COVARIANCE_DIM].double()
    covariances = make(features, item.labels[part], len(item.counts))
    return replace(item.sketch(), covariances=covariances.float())


def _upper(sketches: Sequence[Sketch]) -> NDArray[np.float64]:
    found = [
        answer.distance
        for place, sketch in enumerate(sketches)
        for answer in class_distances(sketch, sketches[place + 1 :])
    ]
    return np.array(found)
