"""One thing of a dataset is changed and nothing else: does it still find itself, and how far has it moved?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.collection import Item
from benchmarks.comparability_variants import NAMED
from benchmarks.distance_domains import distance_matrix
from benchmarks.document import tell
from snt_zoo.encoders.distances import Source, get_distance
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target


def half_of_the_classes(item: Item) -> Item:
    """Every second class, of at least two."""
    kept = torch.arange(0, len(item.counts), 2)
    if len(kept) < 2:
        kept = torch.arange(len(item.counts))
    inside = torch.isin(item.labels, kept)
    place = torch.full((len(item.counts),), -1)
    place[kept] = torch.arange(len(kept))
    return replace(
        item,
        class_names=tuple(item.class_names[int(label)] for label in kept),
        counts=item.counts[kept],
        features=item.features[inside],
        labels=place[item.labels[inside]],
    )


def grey(images: Tensor) -> Tensor:
    """Luma in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luma = (images.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)
    return luma.expand(-1, 3, -1, -1)


def small(images: Tensor) -> Tensor:
    """As if the images had had 16 pixels a side."""
    down = functional.interpolate(images.float(), size=(16, 16), mode="area")
    size = (images.shape[2], images.shape[3])
    up = functional.interpolate(down, size=size, mode="bilinear", align_corners=False)
    return up.round().clamp(0, 255).to(torch.uint8)


def interventions(items: Sequence[Item], altered: Mapping[str, Sequence[Item]]) -> list[dict[str, Any]]:
    """Ask with the changed dataset for the unchanged ones."""
    rows = []
    originals = [item.sketch() for item in items]
    base = {name: distance_matrix(name, originals) for name in NAMED}
    for change, changed in altered.items():
        for name in NAMED:
            ranks, moved = [], []
            for item in changed:
                place = next(p for p, other in enumerate(items) if other.name == item.name)
                sketches = [replace(item.sketch(), name="changed"), *originals]
                asked = _first_row(name, sketches)
                ranks.append(1 + int((asked < asked[place]).sum()))
                others = torch.cat([base[name][place, :place], base[name][place, place + 1 :]])
                moved.append(float(asked[place] / others.median()))
            rows.append(
                {
                    "study": "interventions",
                    "change": change,
                    "distance": name,
                    "datasets": len(changed),
                    "still_nearest_to_itself": round(statistics.mean(rank == 1 for rank in ranks), 4),
                    "mean_rank_of_itself": round(statistics.mean(ranks), 2),
                    # 1: as far from itself as from the median other dataset.
                    "median_shift": round(statistics.median(moved), 4),
                }
            )
            tell(rows[-1])
    return rows


def _first_row(name: str, sketches: Sequence[Sketch]) -> Tensor:
    options: dict[str, Any] = {"method": "exact", "time_limit": None} if name == "otdd" else {}
    sources = [Source(sketch.name, sketch) for sketch in sketches[1:]]
    found = get_distance(name, **options)(Target(sketches[0]), sources)
    return torch.tensor([answer.distance for answer in found])
