"""Catalogs of vectors without bundles on the disk, and the obvious way to search them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index.base_index import make_base
from tests.registry.making import BACKBONE, ENCODER

DIM = 8
MAKER = Maker(BACKBONE, ENCODER, DIM)


def record(number: int, **changes: Any) -> Record:
    """The record of a bundle that is nowhere."""
    fields = {
        "id": f"b{number:04}-00000000",
        "name": f"b{number:04}",
        "digest": f"{number:064x}",
        "space": "nas_bench_201",
        "params": number,
        "macs": number,
        "supernet_params": number,
        "sources": ("x",),
        "tags": (),
        "val_accuracy": None,
        "test_accuracy": None,
        "licence": "MIT",
        "backbone": BACKBONE,
        "encoder": ENCODER,
        "added_at": "2026-11-01T00:00:00+00:00",
        "path": Path(f"b{number:04}-00000000"),
    }
    return Record(**fields | changes)


def unit_rows(rng: np.random.Generator, count: int, dim: int = DIM) -> Vectors:
    """Random vectors of unit length, ``count x dim``."""
    rows = rng.standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_catalog(path: Path, rows: Mapping[int, Vectors] | None = None) -> Catalog:
    """A catalog with these vectors of each bundle's number."""
    made = Catalog(path, locate=Path)
    made.prepare()
    for number, own in (rows or {}).items():
        made.insert(record(number), own)
    return made


def brute_force(
    vectors: Mapping[str, Vectors], query: Vectors, k: int, allowed: AbstractSet[str] | None = None
) -> list[tuple[str, float]]:
    """The k bundles whose best vector has the largest cosine."""
    scores = {
        id: float((rows.astype(np.float64) @ query.astype(np.float64)).max())
        for id, rows in vectors.items()
        if allowed is None or id in allowed
    }
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def base_of(ids: Ids, vectors: Vectors, *, lists: int):  # type: ignore[no-untyped-def]
    base = make_base(vectors.shape[1], lists, vectors)
    base.add_with_ids(vectors, ids)
    return base


def exact(ids: Ids, vectors: Vectors, query: Vectors, k: int) -> list[int]:
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    return ids[np.argsort(-scores, kind="stable")][:k].tolist()
