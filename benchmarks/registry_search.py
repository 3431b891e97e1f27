"""The whole way of a search in a registry of many bundles: index, catalog and all.

One bundle of the starter zoo is added as a user would; its row is then copied in SQL under other ids, with
other vectors and numbers of parameters, since a million bundles would fill a disk. A search opens no bundle.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.embeddings import CHUNK, Cloud
from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.tables import BUNDLES
from snt_zoo.registry.catalog.vectors import Vectors
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.starter import starter_bundles

_QUERIES = 200
_K = 32
# In a process of its own, after the imports: what a command or a service waits for when it starts.
_COLD = """
import sys, time
from snt_zoo.registry.registry import Registry
from snt_zoo.registry import read_header
from snt_zoo.registry.starter import starter_bundles
(query,) = read_header(starter_bundles()[1])[1]
start = time.perf_counter()
Registry.open(sys.argv[1]).search(query, 32)
print(1e3 * (time.perf_counter() - start))
"""


def whole_way(cloud: Cloud, count: int) -> dict[str, Any]:
    """Times of `Registry.search` for 32 bundles of `count`.

    Returns:
        In ms: the median and the 99th percentile of warm searches, those with constraints that half of the
        bundles, a hundredth and a hundred bundles meet (the first of its kind apart: it lists them), the
        search after an add, and the first search of a new process. In seconds: the search that builds the
        index.
    """
    with tempfile.TemporaryDirectory() as folder:
        vectors = torch.from_numpy(cloud.queries(_QUERIES))

        def embed(sketch: Sketch) -> torch.Tensor:
            return vectors[int(sketch.name)] if sketch.name.isdigit() else MOMENTS.embed(sketch)

        registry = Registry.open(Path(folder) / "home", encoder=replace(MOMENTS, embed=embed))
        record = registry.add(starter_bundles()[0])
        _fill(registry, record.id, cloud, count)
        (sketch,) = registry.sketches(record.id)
        queries = [replace(sketch, name=str(number)) for number in range(_QUERIES)]

        def search(query: Sketch, bound: int | None = None) -> None:
            assert len(registry.search(query, _K, where=Filter(max_params=bound))) == _K

        def percentiles(name: str, bound: int | None = None) -> dict[str, float]:
            wall, processor = np.array([_ms(partial(search, query, bound)) for query in queries]).T
            return {
                f"{name}_p50_ms": round(float(np.median(wall)), 2),
                f"{name}_p99_ms": round(float(np.percentile(wall, 99)), 2),
                f"{name}_p50_processor_ms": round(float(np.median(processor)), 2),
            }

        first = partial(search, queries[0])
        row: dict[str, Any] = {"first_search_builds_s": round(_ms(first)[0] / 1e3, 2)}
        row |= percentiles("warm")
        for name, bound in (("half", count // 2), ("hundredth", count // 100), ("hundred", 100)):
            row[f"{name}_first_ms"] = round(_ms(partial(first, bound))[0], 2)
            row |= percentiles(name, bound)
        registry.add(starter_bundles()[1])
        row["after_an_add_ms"] = round(_ms(first)[0], 2)
        cold = [_output([sys.executable, "-c", _COLD, str(registry.home)]) for _ in range(3)]
        return row | {"new_process_ms": round(float(np.median(cold)), 1)}


def _output(command: list[str]) -> float:
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _fill(registry: Registry, id: str, cloud: Cloud, count: int) -> None:
    """Copies of a bundle's row, numbered from 1, with as many parameters as their number."""
    made = {
        "id": "'copy-' || value",
        "name": "'copy-' || value",
        "digest": "'copy-' || value",
        "params": "value",
    }
    columns = ", ".join(column.name for column in BUNDLES.c)
    values = ", ".join(made.get(column.name, f"bundles.{column.name}") for column in BUNDLES.c)
    numbers = "WITH RECURSIVE numbers(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT ?)"
    with closing(sqlite3.connect(registry.home / "catalog.sqlite")) as connection, connection:
        connection.execute(
            f"{numbers} INSERT INTO bundles ({columns}) "
            f"SELECT {values} FROM numbers, bundles WHERE bundles.id = ?",
            (count, id),
        )
        for start in range(0, count, CHUNK):
            part: Vectors = cloud.chunk(start // CHUNK)[: count - start]
            rows = ((f"copy-{start + n + 1}", vector.tobytes()) for n, vector in enumerate(part))
            connection.executemany("INSERT INTO vectors (bundle, data) VALUES (?, ?)", rows)
        connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")


def _ms(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of the wall clock and of the processor."""
    start, started = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - started)
