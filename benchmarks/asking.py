"""How long does a query take after the sketch, in a registry of a thousand supernets?

    python -m benchmarks.asking [--supernets 1000] [--queries 60]

The supernets are tiny, as none is opened by a query, but each has a sketch like those of the starter zoo: one
of them with its means moved. Asked are others, moved likewise, one after the other in one process: the
shortlist of 32 by the index, Optimal Transport with the pairs of classes, and what is predicted. `from files`
is the first question of a dataset by `Zoo.query`, which reads the sketches of the shortlist and measures each
exactly; `kept` is a service, which has all sketches in memory and measures what it answers with. What a first
query loads is told apart. The registry is built anew, which takes a minute or two.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.document import RESULTS, document, write
from benchmarks.tiny_bundles import supernet, write_tiny_bundle
from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.registry import describe, read_header
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.retrieval import DEFAULT_DISTANCE, retrieve
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.service.answering import KEPT_CLASSES

ANSWERS = 5
MOVED = 0.02
"""Deviation of each number of a mean, whose features have a length of about 1."""


def moved(made: Sketch, seed: int) -> Sketch:
    """Much the same dataset, and another one."""
    noise = torch.randn(made.means.shape, generator=torch.Generator().manual_seed(seed))
    other = replace(made, name=f"{made.name} {seed}", means=made.means + MOVED * noise)
    return Sketch.from_tensors(other.to_tensors(), other.to_meta())


def fill(registry: Registry, sketches: list[Sketch], count: int) -> None:
    """Add so many supernets."""
    described = describe(supernet(0))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            made = moved(sketches[number % len(sketches)], number)
            path = write_tiny_bundle(
                Path(folder) / f"{number}",
                seed=number,
                name=f"tiny-{number}",
                described=described,
                sketched=made,
                backbone=made.backbone,
            )
            registry.add(path)


def ask(registry: Registry, sketches: list[Sketch], count: int, *, kept: bool) -> dict[str, Any]:
    """Milliseconds of queries, each of another sketch.

    Args:
        registry: that is asked.
        sketches: from which those are made that are asked about.
        count: of queries, besides the first.
        kept: whether all sketches are in memory, and only what is answered is measured exactly.
    """
    if kept:
        registry.keep(KEPT_CLASSES)
        for record in registry.list():
            registry.sketches(record.id, digest=record.digest)
    distance = get_distance(DEFAULT_DISTANCE, nearest=ANSWERS) if kept else DEFAULT_DISTANCE
    wall, processor = [], []
    for number in range(count + 1):
        target = Target(moved(sketches[number % len(sketches)], 10**6 * (2 - kept) + number))
        start, started = time.perf_counter(), time.process_time()
        found = retrieve(registry, target, k=ANSWERS, distance=distance)
        wall.append(1e3 * (time.perf_counter() - start))
        processor.append(1e3 * (time.process_time() - started))
        assert all(match.class_matches and match.predicted_accuracy is not None for match in found)
    return {
        "first_ms": round(wall[0], 1),
        "p50_ms": round(float(np.median(wall[1:])), 1),
        "p95_ms": round(float(np.percentile(wall[1:], 95)), 1),
        "p50_processor_ms": round(float(np.median(processor[1:])), 1),
        "p95_processor_ms": round(float(np.percentile(processor[1:], 95)), 1),
    }


def main() -> None:
    """Build a registry, ask it, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description=__doc__)
    parser.add_argument("--supernets", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS / "asking.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sketches = [each for path in starter_bundles() for each in read_header(path)[1]]
    kept = list({each.name: each for each in sketches}.values())
    with tempfile.TemporaryDirectory() as home:
        registry = Registry.open(home)
        fill(registry, kept, arguments.supernets)
        summary: dict[str, Any] = {"supernets": arguments.supernets}
        with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, XDG_CACHE_HOME=cache):
            summary["from files"] = ask(registry, kept, arguments.queries, kept=False)
        summary["kept"] = ask(registry, kept, arguments.queries, kept=True)
    write(arguments.out, document("python -m benchmarks.asking", [], summary))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
