"""A service under load: `python -m benchmarks.service --json [--count N …] [--clients 64] [--seconds 60]`

A registry of N small bundles is served on loopback; clients query it by sketches of which no two are equal,
each on a connection of its own, with a pause between their queries, or none. Meanwhile bundles are added. It
tells answers, errors, their times, the processor time of the service for each, its memory over time, and
the same queries in this process, one after another.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.document import document, tell, write
from benchmarks.service_process import Service
from benchmarks.service_zoo import make_registry, vary
from benchmarks.tiny_bundles import sketch, supernet, write_tiny_bundle
from snt_zoo.errors import SntZooError
from snt_zoo.registry import Registry, describe
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.remote.registry import RemoteRegistry
from snt_zoo.service.answering import ask, prepare
from snt_zoo.zoo import Zoo

COUNTS = (10_000, 100_000)
_SKETCHES = 64  # that clients vary
_ALONE = 40  # queries in this process
_WARM = 20  # queries before the clock runs
_K = 5
_EVERY = 2.0  # seconds between two looks at the memory


class Client(threading.Thread):
    """Queries until it is told to end.

    Args:
        port: of the service.
        token: that may read.
        sketches: files that it varies, so that no query is asked twice.
        seed: of that.
        pause: seconds between the end of a query and the next one.
        end: set when it is enough.
    """

    def __init__(
        self,
        port: int,
        token: str,
        sketches: Sequence[bytes],
        pause: float,
        end: threading.Event,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._token, self._sketches, self._pause = port, token, sketches, pause
        self._end = end
        self._draw = np.random.default_rng(seed)
        self.times: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        """Query."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/octet-stream"}
        number = 0
        while not self._end.wait(self._pause):
            body = vary(self._sketches[number % len(self._sketches)], self._draw)
            began = time.perf_counter()
            try:
                connection.request("POST", f"/v1/query?k={_K}", body=body, headers=headers)
                answer = connection.getresponse()
                raw = answer.read()
                if answer.status != 200 or len(json.loads(raw)["matches"]) != _K:
                    self.errors.append(f"status {answer.status}: {raw[:200]!r}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
            self.times.append(time.perf_counter() - began)
            number += 1


class Adder(threading.Thread):
    """Adds bundles, one after another, until it is told to end."""

    def __init__(self, service: Service, folder: Path, pause: float, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self._remote = RemoteRegistry.at(
            service.url, token=service.tokens["write"], cache=folder / "adder-cache"
        )
        self._folder, self._pause, self._end = folder, pause, end
        self._described = describe(supernet(0))
        self.ids: list[str] = []
        self.errors: list[str] = []

    def run(self) -> None:
        """Add."""
        number = 0
        while not self._end.wait(self._pause):
            name = f"added-{number}"
            bundle = write_tiny_bundle(
                self._folder / name, seed=10_000 + number, name=name, described=self._described
            )
            try:
                self.ids.append(self._remote.add(bundle).id)
            except SntZooError as error:
                self.errors.append(str(error))
            number += 1


def measure(
    count: int,
    *,
    clients: int,
    seconds: float,
    pause: float,
    add_every: float,
    workers: int,
    folder: Path,
) -> dict[str, Any]:
    """The row of a registry of so many bundles."""
    home = folder / "home"
    made = make_registry(home, count)
    bodies = [dump_sketches([sketch(50_000 + i)]) for i in range(_SKETCHES)]
    row: dict[str, Any] = {"supernets": count, "clients": clients, "pause_s": pause}
    row["in_process"] = _in_process(made, bodies)
    row["workers"] = workers
    service = Service(home, folder / "tokens", workers=workers)
    try:
        end = threading.Event()
        warm = Client(service.port, service.tokens["read"], bodies[:_WARM], 0.0, end)
        warm.start()
        while len(warm.times) < _WARM:
            time.sleep(0.05)
        end.set()
        warm.join()
        end = threading.Event()
        asking = [
            Client(service.port, service.tokens["read"], bodies, pause, end, seed=i + 1)
            for i in range(clients)
        ]
        adder = Adder(service, folder, add_every, end)
        before, began = service.processor_seconds(), time.perf_counter()
        memory = [service.memory()]
        for thread in (*asking, adder):
            thread.start()
        while (left := began + seconds - time.perf_counter()) > 0:
            time.sleep(min(_EVERY, left))
            memory.append(service.memory())
        end.set()
        for thread in (*asking, adder):
            thread.join()
        took, processor = time.perf_counter() - began, service.processor_seconds() - before
    finally:
        service.stop()
    times = sorted(time for client in asking for time in client.times)
    errors = [error for client in asking for error in client.errors] + adder.errors
    there = Registry.open(home)
    row |= {
        "answers": len(times),
        "errors": len(errors),
        "first_errors": errors[:3],
        "added": len(adder.ids),
        "added_and_lost": len(adder.ids) - len(there.records(adder.ids)),
        "per_second": round(len(times) / took, 1),
        "p50_ms": _percentile(times, 0.5),
        "p95_ms": _percentile(times, 0.95),
        "p99_ms": _percentile(times, 0.99),
        "processor_ms_per_answer": round(1e3 * processor / max(1, len(times)), 1),
        "memory_mb": [round(each / 1e6) for each in memory],
    }
    return row


def _in_process(registry: Registry, bodies: Sequence[bytes]) -> dict[str, float]:
    """The same queries without HTTP, one after another, by one thread."""
    torch.set_num_threads(1)
    zoo = Zoo(registry)
    prepare(zoo)
    for body in bodies[:_WARM]:
        ask(zoo, body, Filter(), k=_K)
    walls, began = [], time.process_time()
    for body in bodies[-_ALONE:]:
        start = time.perf_counter()
        ask(zoo, body, Filter(), k=_K)
        walls.append(time.perf_counter() - start)
    processor = (time.process_time() - began) / _ALONE
    return {
        "p50_ms": round(1e3 * statistics.median(walls), 1),
        "p95_ms": _percentile(sorted(walls), 0.95),
        "processor_ms": round(1e3 * processor, 1),
    }


def _percentile(times: Sequence[float], share: float) -> float:
    return round(1e3 * times[min(len(times) - 1, int(share * len(times)))], 1) if times else float("nan")


def main() -> None:
    """Make registries, serve and query them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=list(COUNTS), help="supernets")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two queries of a client")
    parser.add_argument("--add-every", type=float, default=1.0, help="seconds between two adds")
    parser.add_argument("--workers", type=int, default=0, help="of `snt-zoo serve`")
    parser.add_argument("--json", action="store_true", help="print the document, which is done anyway")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    given = parser.parse_args()
    rows = []
    for count in given.count:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(
                count,
                clients=given.clients,
                seconds=given.seconds,
                pause=given.pause,
                add_every=given.add_every,
                workers=given.workers,
                folder=Path(folder),
            )
        tell(row)
        rows.append(row)
    summary = {"errors": sum(row["errors"] for row in rows), "p95_ms": [row["p95_ms"] for row in rows]}
    counts = " ".join(map(str, given.count))
    made = document(
        f"python -m benchmarks.service --json --count {counts} --clients {given.clients} "
        f"--seconds {given.seconds:g} --pause {given.pause:g} --workers {given.workers}",
        rows,
        summary,
    )
    if given.out is not None:
        write(given.out, made)
    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
