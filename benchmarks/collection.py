"""The collection of datasets that several benchmarks look at: sketches and features, kept between runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from snt_zoo import open_dataset
from snt_zoo.encoders.backbone import Backbone, get_backbone
from snt_zoo.encoders.projection import PROJECTION_ID
from snt_zoo.encoders.sketch import Sample, Sketch, sketch_features
from snt_zoo.encoders.transport import LabelledSamples


@dataclass(frozen=True, eq=False)
class Item:
    """One dataset of the collection, by what is drawn of its training part.

    Args:
        name: of the file.
        domain: glyph, icon, photo, …, as the index says.
        shape: of its images, in pixels; three numbers in colour.
        class_names: K names.
        counts: images of each class, int64 ``K``.
        features: projected, float32 ``n x 64``, at most 512.
        labels: int64 ``n``.
    """

    name: str
    domain: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    counts: Tensor
    features: Tensor
    labels: Tensor

    def sketch(self) -> Sketch:
        """As a query would make it."""
        return sketch_features(
            self.features,
            self.labels,
            name=self.name,
            backbone=f"mobilenet_v2/{PROJECTION_ID}",
            class_names=self.class_names,
            counts=self.counts,
        )

    def samples(self, count: int) -> tuple[Tensor, Tensor]:
        """Features and labels of a random part, of the classes that have two images in it."""
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0))[:count]
        features, labels = self.features[order], self.labels[order]
        often = torch.bincount(labels, minlength=len(self.counts)) >= 2
        features, labels = features[often[labels]], labels[often[labels]]
        return features, often.cumsum(0)[labels] - 1

    def cloud(self, count: int) -> LabelledSamples:
        """The same, as one side of a distance between samples."""
        return LabelledSamples.of_features(*self.samples(count))


@dataclass(frozen=True, eq=False)
class Altered(Backbone):
    """A backbone that sees its images changed: uint8 ``n x 3 x size x size`` to the same."""

    change: Callable[[Tensor], Tensor] = lambda images: images

    def features(self, images: Tensor, *, batch_size: int | None = 64) -> Tensor:
        return super().features(self.change(images), batch_size=batch_size)


def read_collection(
    data: Path,
    *,
    cache: Path | None,
    variant: str = "plain",
    change: Callable[[Tensor], Tensor] | None = None,
    only: Callable[[Any], bool] = lambda row: True,
) -> list[Item]:
    """All datasets of a folder that the index beside it names.

    Args:
        data: folder of npz files; its parent holds `index.json`, with the domain and shape of each.
        cache: folder where features are kept between runs.
        variant: name of the change, for the cache.
        change: of the images, before the backbone.
        only: which rows of the index.
    """
    index = json.loads((data.parent / "index.json").read_text(encoding="utf-8"))
    plain = get_backbone()
    backbone = plain if change is None else Altered(**vars(plain), change=change)
    items = []
    for path in sorted(data.glob("*.npz")):
        row = index[path.stem]
        if not only(row):
            continue
        kept = None if cache is None else cache / f"{path.stem}.{variant}.safetensors"
        if kept is None or not kept.is_file():
            print(f"features of {path.stem} ({variant})", file=sys.stderr, flush=True)
            tensors, names = _features(path, backbone)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                save_file(tensors, kept)
                kept.with_suffix(".json").write_text(json.dumps(names), encoding="utf-8")
        else:
            tensors = load_file(kept)
            names = json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))
        items.append(Item(path.stem, row["domain"], tuple(row["shape"]), tuple(names), **tensors))
    return items


def _features(path: Path, backbone: Backbone) -> tuple[dict[str, Tensor], list[str]]:
    dataset = open_dataset(path)
    features, labels, kept = Sample.of(dataset, backbone).projected()
    counts = torch.bincount(dataset.train.labels, minlength=dataset.num_classes)[kept]
    names = [dataset.class_names[int(label)] for label in kept]
    return {"features": features, "labels": labels, "counts": counts}, names
