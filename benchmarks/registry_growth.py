"""What a registry of 100, 10⁴ and 10⁵ supernets costs: `python -m benchmarks.registry_growth --json`

Bundles are tiny (see `service_zoo`). Each thing is done several times and its median taken, in milliseconds
of the processor and of the wall clock: these differ where a disk is waited for, or the machine is shared.
`growth` is the processor's time in the largest registry over that in the smallest.

`--remote N` also syncs with a Hub of so many repositories, whose pages are made in memory: first all are
known, then one in a thousand has a new commit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.hub_of_many import sync_costs
from benchmarks.service_zoo import make_registry
from benchmarks.tiny_bundles import sketch, supernet, write_tiny_bundle
from snt_zoo.registry import Filter, describe
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.catalog.filters import Bound
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.zoo import Zoo

SIZES = "100,10000,100000"
TIMES = 7
Row = dict[str, Any]


def costs(count: int, place: Path) -> Iterator[Row]:
    """A row for each thing that is done with a registry of so many supernets."""
    clock = Stopwatch()
    registry = make_registry(place / "home", count)
    yield {"what": "make it", **clock.row()}
    for folder in starter_bundles():  # as where they were removed
        registry._catalog.mark_seeded(read_manifest(folder).digest, folder.name)
    zoo, asked, new = Zoo.open(registry.home), iter(range(10**6, 10**7)), _bundles(place)
    record = registry.page(sort="-params", limit=1).records[0]
    metric, added = Bound("val_accuracy", ">=", 0.4), list[str]()

    def query(**limits: Any) -> object:
        return zoo.query(sketch(next(asked)), **limits)

    def search(**conditions: Any) -> object:
        return zoo.registry.search(sketch(next(asked)), 32, where=Filter(**conditions))

    def add() -> None:
        added.append(zoo.add(next(new)).id)

    clock = Stopwatch()
    query()
    yield {"what": "first query, which writes the index", **clock.row()}
    things: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "open": (_nothing, lambda: Zoo.open(registry.home)),
        "list a page": (_nothing, lambda: registry.page(limit=50)),
        "list a page by accuracy": (_nothing, lambda: registry.page(sort="-accuracy", limit=50)),
        "list a page of a tag": (_nothing, lambda: registry.page(Filter(tag="tenth-3"), limit=50)),
        "list a page by a metric": (
            _nothing,
            lambda: registry.page(Filter(metrics=(metric,)), limit=50),
        ),
        "list all": (_nothing, zoo.list),
        "show": (_nothing, lambda: zoo.show(record.id)),
        "show the start of an id": (_nothing, lambda: zoo.show(record.id[:-1])),
        "show an alias": (_nothing, lambda: zoo.show(f"{record.name}@latest")),
        "query": (_nothing, query),
        "query for half of them": (_nothing, lambda: query(max_params=record.params - count // 2)),
        "search": (_nothing, search),
        "search for a tag": (_nothing, lambda: search(tag="tenth-3")),
        "search for a metric": (_nothing, lambda: search(metrics=(metric,))),
        "query a new process's first": (lambda: _reopen(zoo), query),
        "add": (_nothing, add),
        "query after an add": (add, query),
        "remove": (_nothing, lambda: zoo.remove(added.pop())),
    }
    for name, (before, thing) in things.items():
        rows = []
        for _ in range(TIMES):
            before()
            clock = Stopwatch()
            thing()
            rows.append(clock.row())
        yield {"what": name} | {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
    for command in (["list", "--json"], ["show", record.id, "--json"]):
        yield {"what": f"command: {command[0]}", **_command([*command, "--home", str(registry.home)])}


def _nothing() -> None:
    pass


def _reopen(zoo: Zoo) -> None:
    zoo.registry = Zoo.open(zoo.registry.home).registry


def _bundles(place: Path) -> Iterator[Path]:
    described = describe(supernet(0))
    for seed in range(10**6, 10**7):
        yield write_tiny_bundle(place / f"new-{seed}", seed=seed, name="new", described=described)


class Stopwatch:
    """Milliseconds of the processor and of the wall clock."""

    def __init__(self) -> None:
        self._start, self._started = time.perf_counter(), time.process_time()

    def row(self) -> Row:
        """The time since it was made."""
        wall, processor = time.perf_counter() - self._start, time.process_time() - self._started
        return {"ms": round(1e3 * wall, 2), "processor_ms": round(1e3 * processor, 2)}


def _command(words: list[str]) -> Row:
    """A command in a process of its own."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "snt_zoo", *words], check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"ms": round(1e3 * wall, 1), "processor_ms": round(1e3 * spent, 1)}


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Of each thing, its growth from the smallest registry to the largest."""
    sizes = sorted({row["supernets"] for row in rows if "supernets" in row})
    found = {(row["supernets"], row["what"]): row["processor_ms"] for row in rows if "supernets" in row}
    return {
        "sizes": sizes,
        "growth": {
            what: round(found[sizes[-1], what] / max(found[sizes[0], what], 0.01), 2)
            for size, what in found
            if size == sizes[0]
        },
    }


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry_growth", description=__doc__)
    parser.add_argument("--sizes", default=SIZES, help="supernets in the registries")
    parser.add_argument("--remote", type=int, default=0, help="repositories on a Hub")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "registry_growth.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[Row] = []
    for count in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory() as place:
            for row in costs(count, Path(place)):
                rows.append({"supernets": count, **row})
                tell(rows[-1])
    if arguments.remote:
        with tempfile.TemporaryDirectory() as place:
            for row in sync_costs(arguments.remote, Path(place)):
                rows.append({"remote": arguments.remote, **row})
                tell(rows[-1])
    remote = f" --remote {arguments.remote}" if arguments.remote else ""
    command = f"python -m benchmarks.registry_growth --json --sizes {arguments.sizes}{remote}"
    made = document(command, rows, summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
