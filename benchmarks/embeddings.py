"""Millions of vectors to search in: like those of a large zoo, and without any structure.

No zoo has a million supernets. What one would hold is taken from real sketches: variants of them (some of
the classes of one dataset, or of two, with other frequencies, and class means drawn anew as other images of
the class would have given them) go through the real encoder, and the rest is filled in between neighbours
among these, with noise in all dimensions. Uniform vectors on the sphere are the hard case: nothing can be
left out of a search in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import faiss
import numpy as np
import torch

from snt_zoo.data import open_dataset
from snt_zoo.encoders.embedding import EMBEDDING_DIM, embed
from snt_zoo.encoders.sketch import Sketch, sketch
from snt_zoo.registry.bundle.bundle import read_header
from snt_zoo.registry.catalog.vectors import Ids, Vectors
from snt_zoo.registry.starter import starter_bundles

CHUNK = 100_000
VARIANTS = 20_000  # that go through the encoder; other vectors lie between them
_NEIGHBOURS = 4
_NOISE = 0.3  # length, as a share of the distance to the last of the neighbours
_MOST_CLASSES = 12


class Cloud(Protocol):
    """A source of vectors of unit length."""

    @property
    def name(self) -> str:
        """In the rows."""

    def chunk(self, number: int) -> Vectors:
        """``CHUNK x dim``; the same each time."""

    def queries(self, count: int) -> Vectors:
        """``count x dim``, of the same kind, none of them in a chunk."""


@dataclass(frozen=True)
class Uniform:
    """Uniform on the sphere."""

    name: str = "uniform"

    def chunk(self, number: int) -> Vectors:
        """See `Cloud`."""
        return self._draw(CHUNK, number)

    def queries(self, count: int) -> Vectors:
        """See `Cloud`."""
        return self._draw(count, -1)

    def _draw(self, count: int, number: int) -> Vectors:
        rng = np.random.default_rng([1, number + 1])
        return _unit(rng.standard_normal((count, EMBEDDING_DIM), dtype=np.float32))


class Realistic:
    """Around variants of real sketches.

    Args:
        sketches: real ones.
    """

    name = "realistic"

    def __init__(self, sketches: Sequence[Sketch]) -> None:
        self._sketches = sketches
        self._base = self._variants(VARIANTS, seed=0)
        cosines, self._near = faiss.knn(
            self._base, self._base, _NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT
        )
        self._width = np.sqrt(np.maximum(2.0 - 2.0 * cosines[:, -1:], 0.0)).astype(np.float32)

    def chunk(self, number: int) -> Vectors:
        """See `Cloud`."""
        rng = np.random.default_rng([2, number])
        base = rng.integers(0, len(self._base), CHUNK)
        weights = rng.standard_exponential((CHUNK, _NEIGHBOURS + 1, 1), dtype=np.float32)
        weights /= weights.sum(1, keepdims=True)
        made = _NOISE * self._width[base] / np.float32(EMBEDDING_DIM**0.5)
        made = made * rng.standard_normal((CHUNK, EMBEDDING_DIM), dtype=np.float32)
        for place in range(_NEIGHBOURS + 1):
            made += weights[:, place] * self._base[self._near[base, place]]
        return _unit(made)

    def queries(self, count: int) -> Vectors:
        """Variants of their own, as the encoder gives them."""
        return self._variants(count, seed=1)

    def _variants(self, count: int, *, seed: int) -> Vectors:
        rng = np.random.default_rng([3, seed])
        return np.stack([embed(self._variant(rng)).numpy() for _ in range(count)])

    def _variant(self, rng: np.random.Generator) -> Sketch:
        chosen = [self._sketches[i] for i in rng.integers(0, len(self._sketches), rng.choice([1, 1, 1, 2]))]
        means = torch.cat([s.means for s in chosen])
        covariances = torch.cat([s.full_covariances() for s in chosen])
        kept = rng.permutation(len(means))[: rng.integers(2, _MOST_CLASSES + 1)]
        means, covariances = means[kept], covariances[kept]
        images = int(rng.integers(10, 200))  # of a class
        spread = covariances.diagonal(dim1=1, dim2=2).mean(1).div(images).sqrt()
        noise = torch.from_numpy(rng.standard_normal(means.shape, dtype=np.float32))
        return Sketch(
            name="variant",
            backbone=chosen[0].backbone,
            class_names=tuple(map(str, range(len(kept)))),
            counts=torch.from_numpy(rng.integers(10, 1000, len(kept))),
            means=means + spread[:, None] * noise,
            covariances=covariances,
            samples=means[:0],
            sample_labels=torch.empty(0, dtype=torch.int64),
        )


def real_sketches(data: Path | None) -> list[Sketch]:
    """Of the datasets in a folder of npz files; without one, those of the starter zoo."""
    if data is not None:
        return [sketch(open_dataset(path)) for path in sorted(data.glob("*.npz"))]
    return [made for folder in starter_bundles() for made in read_header(folder)[1]]


def vectors_of(cloud: Cloud, count: int) -> Vectors:
    """The first vectors of a cloud, ``count x dim``."""
    made = np.empty((count, EMBEDDING_DIM), dtype=np.float32)
    for start in range(0, count, CHUNK):
        made[start : start + CHUNK] = cloud.chunk(start // CHUNK)[: count - start]
    return made


def nearest(cloud: Cloud, count: int, queries: Vectors, k: int) -> Ids:
    """Positions of the exact nearest vectors, ``n x k``, without holding all vectors at once."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    places = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, count, CHUNK):
        part = cloud.chunk(start // CHUNK)[: count - start]
        scores, found = faiss.knn(queries, part, k, metric=faiss.METRIC_INNER_PRODUCT)
        best, places = np.concatenate([best, scores], 1), np.concatenate([places, found + start], 1)
        order = np.argsort(-best, axis=1)[:, :k]
        best, places = np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
    return places


def _unit(vectors: Vectors) -> Vectors:
    made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made
