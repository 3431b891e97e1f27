"""Are the nearest datasets of the same kind? By every distance, as a confusion of domains and as a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.collection import Item
from benchmarks.document import tell
from snt_zoo.encoders.distances import Source, get_distance
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import LabelledSamples, dataset_distances

NAMES = ("class-ot", "otdd", "class-means", "frechet", "mean-feature", "random", "static")
_OPTIONS: dict[str, dict[str, Any]] = {"otdd": {"method": "exact", "time_limit": None}}
_COLOURS = "tab10"


def distance_matrix(name: str, sketches: Sequence[Sketch]) -> Tensor:
    """All distances, float64 ``n x n``: row i answers for target i."""
    sources = [Source(sketch.name, sketch) for sketch in sketches]
    if name == "otdd":  # symmetric, and dear: every pair once, every side prepared once
        sides = [LabelledSamples.of_sketch(sketch) for sketch in sketches]
        out = torch.zeros(len(sides), len(sides), dtype=torch.float64)
        for place, side in enumerate(sides):
            found = dataset_distances(side, sides[place + 1 :], method="exact")
            for other, answer in enumerate(found, place + 1):
                out[place, other] = out[other, place] = answer.distance
        return out
    measure = get_distance(name, **_OPTIONS.get(name, {}))
    if name == "static":  # one ranking for all
        row = [answer.distance for answer in measure(Target(sketches[0]), sources)]
        return torch.tensor([row] * len(sketches), dtype=torch.float64)
    answers = [[m.distance for m in measure(Target(sketch), sources)] for sketch in sketches]
    return torch.tensor(answers, dtype=torch.float64)


def confusion(items: Sequence[Item], matrix: Tensor) -> dict[str, dict[str, int]]:
    """How often the nearest other dataset of one domain is of another."""
    apart = matrix.clone()
    apart.fill_diagonal_(float("inf"))
    counts: dict[str, Counter[str]] = {item.domain: Counter() for item in items}
    for item, place in zip(items, apart.argmin(1).tolist(), strict=True):
        counts[item.domain][items[place].domain] += 1
    return {domain: dict(sorted(found.items())) for domain, found in sorted(counts.items())}


def same_domain_auc(items: Sequence[Item], matrix: Tensor) -> float:
    """Probability that a pair of one domain is nearer than a pair of two."""
    from scipy.stats import rankdata

    rows, columns = np.triu_indices(len(items), 1)
    domains = np.array([item.domain for item in items])
    same = domains[rows] == domains[columns]
    symmetric = ((matrix + matrix.T) / 2).numpy()
    ranks = rankdata(symmetric[rows, columns])
    ones = int(same.sum())
    below = ranks[same].sum() - ones * (ones + 1) / 2
    return float(1 - below / (ones * (len(same) - ones)))


def neighbours(
    items: Sequence[Item],
) -> tuple[list[dict[str, Any]], dict[str, Any], Mapping[str, Tensor]]:
    """A row for each distance; the share counts datasets whose domain has another one."""
    sketches = [item.sketch() for item in items]
    sizes = Counter(item.domain for item in items)
    rows, matrices = [], {}
    for name in NAMES:
        matrix = matrices[name] = distance_matrix(name, sketches)
        found = confusion(items, matrix)
        hits = sum(row.get(domain, 0) for domain, row in found.items() if sizes[domain] > 1)
        asked = sum(size for size in sizes.values() if size > 1)
        rows.append(
            {
                "what": "domain of the nearest dataset",
                "distance": name,
                "same_domain": round(hits / asked, 4),
                "auc": round(same_domain_auc(items, matrix), 4),
                "confusion": found,
            }
        )
        tell(rows[-1])
    summary = {"same_domain_by_distance": {row["distance"]: row["same_domain"] for row in rows}}
    return rows, summary, matrices


def draw_map(items: Sequence[Item], matrices: Mapping[str, Tensor], path: Path) -> None:
    """Write a map of the datasets, by metric multidimensional scaling, for two distances."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    domains = sorted({item.domain for item in items})
    colours = dict(zip(domains, colormaps[_COLOURS].colors, strict=False))  # type: ignore[attr-defined]
    figure = Figure(figsize=(15, 7.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 2), ("class-ot", "otdd"), strict=True):
        places = scaled(matrices[name])
        for domain in domains:
            own = [row for row, item in enumerate(items) if item.domain == domain]
            axes.scatter(places[own, 0], places[own, 1], s=26, color=colours[domain], label=domain)
        for item, (x, y) in zip(items, places, strict=True):
            axes.annotate(item.name, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=7)
        axes.set_title(f"{name}: datasets near each other by Optimal Transport", fontsize=9)
        axes.set_aspect("equal", "datalim")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.axes[0].legend(fontsize=7, loc="best")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def scaled(matrix: Tensor) -> NDArray[np.float64]:
    """Places in the plane, ``n x 2``, whose distances are near those of the matrix (SMACOF)."""
    from sklearn.manifold import smacof

    symmetric = ((matrix + matrix.T) / 2).numpy()
    places: NDArray[np.float64] = smacof(symmetric, n_components=2, random_state=0, n_init=8)[0]
    return places
