"""How fast, how exact and how large is the vector index?
`python -m benchmarks.index --json [--sizes 10000,100000,1000000,10000000] [--data DIR] [--out FILE]`

Candidates and the product's own choice, on vectors like those of a large zoo and on uniform ones (see
`embeddings`), each asked for the 32 nearest, one query at a time on one thread, as a service does. Then the
whole way of a search, with the catalog (see `registry_search`).

Wall time and processor time stand beside each other: they differ where the machine was shared. Recall is
that of the 32 nearest, found by comparing with every vector, in the mean over 200 queries.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from benchmarks.document import document, write
from benchmarks.embeddings import CHUNK, Cloud, Realistic, Uniform, nearest, real_sketches, vectors_of
from benchmarks.registry_search import whole_way
from snt_zoo.encoders.embedding import EMBEDDING_DIM
from snt_zoo.registry.catalog.vector_rows import State
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index.base_index import lists_of, make_base, probes_of, search
from snt_zoo.registry.index.index_file import IndexFile, Label
from snt_zoo.registry.index.index_rule import calibrate, lists_for, sample_size
from snt_zoo.registry.index.vector_index import VectorIndex

K = 32
QUERIES = 500  # whose time is taken
JUDGED = 200  # of them, whose answers are compared with the exact ones
FILTERED = 100  # that are asked of a part of the vectors
CANDIDATES_UP_TO = 10**6  # above, the rule's choice alone: others need all vectors in memory, or hours
WHOLE_WAY = (10**5, 10**6)
MAKER = Maker("benchmark", "benchmark", EMBEDDING_DIM)
Row = dict[str, Any]
Ask = Callable[[Vectors], Ids]


def timed(ask: Ask, queries: Vectors, truth: Ids) -> Row:
    """Time and recall of single queries."""
    wall, processor, found = [], [], []
    with _threads(1):
        for query in queries[:20]:  # pages of a mapped file, and caches
            ask(query)
        for query in queries:
            start, started = time.perf_counter(), time.process_time()
            found.append(ask(query))
            processor.append(time.process_time() - started)
            wall.append(time.perf_counter() - start)
    shared = [np.isin(b[b >= 0], a).mean() for a, b in zip(found, truth, strict=False)]
    return {
        "p50_ms": _ms(wall, 50),
        "p99_ms": _ms(wall, 99),
        "p50_processor_ms": _ms(processor, 50),
        "p99_processor_ms": _ms(processor, 99),
        "recall_at_32": round(float(np.mean(shared)), 4),
    }


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _ms(seconds: list[float], percentile: int) -> float:
    return round(1e3 * float(np.percentile(seconds, percentile)), 3)


class Stopwatch:
    """Seconds of the wall clock and of all processors."""

    def __init__(self) -> None:
        self._start, self._started = time.perf_counter(), time.process_time()

    def row(self) -> Row:
        """The time since it was made."""
        return {
            "build_s": round(time.perf_counter() - self._start, 2),
            "build_processor_s": round(time.process_time() - self._started, 2),
        }


def candidates(vectors: Vectors, queries: Vectors, truth: Ids, *, hard: bool) -> Iterator[Row]:
    """Rows of index types that faiss offers, with what they can be set to."""
    lists = 2 ** round(math.log2(2 * math.sqrt(len(vectors))))
    settings: list[tuple[str, tuple[int, ...], int]] = [  # factory, ef or probes, refined from so many
        ("Flat", (0,), 0),
        (f"IVF{lists},SQ8", (16, 32, 64), 0),
        (f"IVF{lists},SQ8", (32, 64), 2 * K),
        (f"IVF{lists},SQfp16", (16, 32, 64, lists // 2), 0),
        (f"IVF{lists},PQ64x4fs", (32, 64), 16 * K),
        ("PQ64x4fs", (0,), 32 * K),
    ]
    if not hard or len(vectors) <= 10**5:
        settings += [
            ("HNSW16,Flat", (64, 128, 256), 0),
            ("HNSW32,Flat", (64, 128, 512), 0),
            ("HNSW32,SQ8", (64, 128), 0),
        ]
    for factory, sets in itertools.groupby(settings, key=lambda setting: setting[0]):
        index, row = _build(factory, vectors)
        for _, values, refined in sets:
            for value in values:
                _set(index, value)
                measured = timed(_asking(index, vectors, refined), queries, truth)
                yield {"index": factory, "setting": value, "refined_from": refined, **measured, **row}


def _build(factory: str, vectors: Vectors) -> tuple[faiss.Index, Row]:
    watch = Stopwatch()
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    sample = vectors[np.random.default_rng(0).permutation(len(vectors))[: sample_size(2048)]]
    with _threads(1 if "PQ" in factory else faiss.omp_get_max_threads()):  # its clusterings are tiny
        index.train(sample)
    index.add(vectors)
    row = watch.row()
    with tempfile.NamedTemporaryFile(suffix=".faiss") as file:
        faiss.write_index(index, file.name)
        return index, row | {"memory_mb": round(Path(file.name).stat().st_size / 1e6, 1)}


def _set(index: faiss.Index, value: int) -> None:
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = value
    elif isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = value


def _asking(index: faiss.Index, vectors: Vectors, refined: int) -> Ask:
    def ask(query: Vectors) -> Ids:
        ids: Ids = index.search(query[None], max(K, refined))[1][0]
        if not refined:
            return ids
        ids = ids[ids >= 0]
        return ids[np.argsort(-(vectors[ids] @ query))[:K]]

    return ask


def the_rule(cloud: Cloud, count: int, queries: Vectors, truth: Ids, folder: Path) -> Iterator[Row]:
    """Rows of the product's index: built from chunks, written, mapped, asked; also for a part of it."""
    watch = Stopwatch()
    lists = lists_for(count)
    sample = _sample(cloud, count, sample_size(lists))
    base = make_base(EMBEDDING_DIM, lists, sample)
    for start in range(0, count, CHUNK):
        part = cloud.chunk(start // CHUNK)[: count - start]
        base.add_with_ids(part, np.arange(start, start + len(part)))
    calibrate(base, sample)
    file, state = IndexFile(folder), State(generation=1, revision=1)
    file.write(base, Label.of(state, count, MAKER))
    row = watch.row()
    del base
    read = file.read(state, MAKER)
    assert read is not None
    base = read[1]
    row |= {"memory_mb": round(sum(p.stat().st_size for p in folder.glob("*.faiss")) / 1e6, 1)}
    index = VectorIndex.of(MAKER, base)
    name = f"rule: IVF{lists},SQfp16" if lists else "rule: Flat"
    measured = timed(partial(_ask, index, allowed=None), queries, truth)
    yield {"index": name, "setting": probes_of(base), "allowed": 1.0, **measured, **row}
    for share in (0.5, 0.01, 0.001):
        allowed = np.flatnonzero(np.random.default_rng(1).random(count) < share)
        members = np.zeros(count, dtype=np.bool_)
        members[allowed] = True
        exact = search(base, queries[:FILTERED], K, probes=lists_of(base), members=members)[0]
        ask = partial(_ask, index, allowed=allowed)
        measured = timed(ask, queries[:FILTERED], exact)
        yield {"index": name, "setting": probes_of(base), "allowed": share, **measured, **row}


def _ask(index: VectorIndex, query: Vectors, *, allowed: Ids | None) -> Ids:
    return index.search(query, K, maker=MAKER, allowed=allowed)[0]


def _sample(cloud: Cloud, count: int, wanted: int) -> Vectors:
    """As many vectors as are wanted."""
    chunks = min(20, math.ceil(count / CHUNK))  # one is like another
    parts, rng = [], np.random.default_rng(0)
    for number in range(chunks):
        part = cloud.chunk(number)[: count - number * CHUNK]
        parts.append(part[rng.permutation(len(part))[: math.ceil(wanted / chunks)]])
    return np.concatenate(parts)


def measure(cloud: Cloud, count: int) -> Iterator[Row]:
    """All rows of a number of vectors."""
    queries = cloud.queries(QUERIES)
    truth = nearest(cloud, count, queries[:JUDGED], K)
    common = {"vectors": count, "data": cloud.name, "dim": EMBEDDING_DIM}
    if count <= CANDIDATES_UP_TO:
        vectors = vectors_of(cloud, count)
        for row in candidates(vectors, queries, truth, hard=cloud.name == "uniform"):
            yield common | row
        del vectors
    with tempfile.TemporaryDirectory() as folder:
        for row in the_rule(cloud, count, queries, truth, Path(folder)):
            yield common | row


def summarise(rows: list[Row]) -> Mapping[str, Any]:
    """The rule's choice for each number of vectors; what it does on uniform ones stands under `uniform`."""
    keys = ("index", "p50_ms", "p99_ms", "p50_processor_ms", "recall_at_32", "build_s", "memory_mb")
    summary: dict[str, Any] = {}
    for row in rows:
        if row.get("allowed") == 1.0:
            own = summary.setdefault(str(row["vectors"]), {})
            (own if row["data"] == "realistic" else own.setdefault("uniform", {})).update(
                {key: row[key] for key in keys}
            )
        elif row["index"] == "registry":
            left = {key: value for key, value in row.items() if key not in ("vectors", "data", "index")}
            summary.setdefault(str(row["vectors"]), {})["registry_search"] = left
    return summary


def main() -> None:
    """Measure each number of vectors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000,10000000", help="numbers of vectors")
    parser.add_argument("--data", type=Path, help="folder of npz files; without, the starter zoo's sketches")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    parser.add_argument("--json", action="store_true", help="as every benchmark: one JSON document on stdout")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    torch.set_num_threads(1)  # sketches are small
    realistic = Realistic(real_sketches(arguments.data))
    clouds: tuple[Cloud, ...] = (realistic, Uniform())
    rows: list[Row] = []

    def note(row: Row) -> None:
        rows.append(row)
        print(row, file=sys.stderr, flush=True)

    for count in map(int, arguments.sizes.split(",")):
        for cloud in clouds:
            if count <= CANDIDATES_UP_TO or cloud is realistic:
                for row in measure(cloud, count):
                    note(row)
        if count in WHOLE_WAY:
            note({"vectors": count, "data": "realistic", "index": "registry", **whole_way(realistic, count)})
    data = " --data DIR" if arguments.data else ""
    made = document(
        f"python -m benchmarks.index --json --sizes {arguments.sizes}{data}", rows, summarise(rows)
    )
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
