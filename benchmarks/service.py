"""A service under load: `python -m benchmarks.service --json [--count N …] [--clients 64] [--seconds 60]`

A registry of N small bundles is served on loopback; clients query it by sketches of which no two are equal,
each on a connection of its own, with a pause between their queries, or none. Meanwhile bundles are added. It
tells answers, errors, their times, the processor time of the service and of the clients for each, its memory
over time, and the same queries in this process, one after another. At the smallest N it also tells how the
times grow with the number of clients.

To make 10⁵ bundles takes some three minutes and 2 GB on the disk, which are gone in the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

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
CURVE = (1, 4, 16)
"""Numbers of clients, besides the given one, at the smallest count: who asks without a pause waits for
all the others, so the time of an answer grows with their number once the cores are busy."""
_SKETCHES = 64  # that clients vary
_VARIED = 256  # sketches of each client, which it sends again and again: answers are not kept by a service
_ALONE = 40  # queries in this process
_WARM = 20  # of them before the clock runs
_WARM_CLIENTS = 8
_K = 5
_EVERY = 2.0  # seconds between two looks at the memory


class Client(threading.Thread):
    """Queries until it is told to end.

    It shares the cores with the service, so it does little: what it sends is made before the clock runs, and
    of an answer it reads the status and the number of matches.

    Args:
        port: of the service.
        token: that may read.
        bodies: sketches' files.
        pause: seconds between the end of a query and the next one.
        end: set when it is enough.
    """

    def __init__(
        self, port: int, token: str, bodies: Iterable[bytes], pause: float, end: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._pause, self._end = port, pause, end
        head = (
            f"POST /v1/query?k={_K} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: "
        )
        self._requests = itertools.cycle(f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies)
        self.times: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        """Query."""
        connection, answers = self._connected()
        while not self._end.wait(self._pause) if self._pause else not self._end.is_set():
            request = next(self._requests)
            began = time.perf_counter()
            try:
                connection.sendall(request)
                status, raw = _answer(answers)
                if status != 200 or raw.count(b'"class_matches":') != _K:
                    self.errors.append(f"status {status}: {raw[:200]!r}")
            except (OSError, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
                connection, answers = self._connected()
            self.times.append(time.perf_counter() - began)
        connection.close()

    def _connected(self) -> tuple[socket.socket, BinaryIO]:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=120)
        return connection, connection.makefile("rb")


def _answer(answers: BinaryIO) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    status = int(answers.readline().split(b" ", 2)[1])
    length = 0
    while (line := answers.readline()) not in (b"\r\n", b""):
        if line[:15].lower() == b"content-length:":
            length = int(line[15:])
    return status, answers.read(length)


class Adder(threading.Thread):
    """Adds bundles, one after another, until it is told to end."""

    _numbers = itertools.count(10_000)  # no two of them add the same

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
        while not self._end.wait(self._pause):
            number = next(self._numbers)
            name = f"added-{number}"
            bundle = write_tiny_bundle(self._folder / name, seed=number, name=name, described=self._described)
            try:
                self.ids.append(self._remote.add(bundle).id)
            except SntZooError as error:
                self.errors.append(str(error))


def measure(
    count: int,
    *,
    clients: Sequence[int],
    seconds: float,
    pause: float,
    add_every: float,
    workers: int,
    folder: Path,
) -> list[dict[str, Any]]:
    """The rows of a registry of so many bundles, one for each number of clients, the last for so many seconds
    and the others for a quarter of them."""
    home = folder / "home"
    made = make_registry(home, count)
    sketches = [dump_sketches([sketch(50_000 + i)]) for i in range(_SKETCHES)]
    draw = np.random.default_rng(1)
    alone = _in_process(made, [vary(each, draw) for each in sketches])
    service = Service(home, folder / "tokens", workers=workers)
    rows: list[dict[str, Any]] = []
    try:
        for number in (min(_WARM_CLIENTS, clients[-1]), *clients):  # the first row is to warm up
            asked = [
                [vary(sketches[place % _SKETCHES], draw) for place in range(_VARIED)] for _ in range(number)
            ]
            last = len(rows) == len(clients)
            row = _load(service, folder, asked, seconds if last else seconds / 4, pause, add_every)
            rows.append({"supernets": count, "clients": number, "pause_s": pause, "workers": workers, **row})
            tell(rows[-1])
    finally:
        service.stop()
    there = Registry.open(home)
    for row in rows:
        ids = row.pop("ids")
        row["added"], row["added_and_lost"] = len(ids), len(ids) - len(there.records(ids))
    rows[-1]["in_process"] = alone
    return rows[1:]


def _load(
    service: Service,
    folder: Path,
    asked: Sequence[Sequence[bytes]],
    seconds: float,
    pause: float,
    add_every: float,
) -> dict[str, Any]:
    """What clients that ask these queries come to, each its own, while bundles are added."""
    end = threading.Event()
    asking = [Client(service.port, service.tokens["read"], bodies, pause, end) for bodies in asked]
    adder = Adder(service, folder, add_every, end)
    own, before, began = time.process_time(), service.processor_seconds(), time.perf_counter()
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
    own = time.process_time() - own
    times = sorted(time for client in asking for time in client.times)
    errors = [error for client in asking for error in client.errors] + adder.errors
    return {
        "ids": adder.ids,
        "answers": len(times),
        "errors": len(errors),
        "first_errors": errors[:3],
        "per_second": round(len(times) / took, 1),
        "p50_ms": _percentile(times, 0.5),
        "p95_ms": _percentile(times, 0.95),
        "p99_ms": _percentile(times, 0.99),
        "processor_ms_per_answer": round(1e3 * processor / max(1, len(times)), 1),
        "processor_ms_of_clients_per_answer": round(1e3 * own / max(1, len(times)), 2),
        "memory_mb": [round(each / 1e6) for each in memory],
    }


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
    rows: list[dict[str, Any]] = []
    for count in given.count:
        fewer = [each for each in CURVE if each < given.clients] if count == min(given.count) else []
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(
                count,
                clients=(*fewer, given.clients),
                seconds=given.seconds,
                pause=given.pause,
                add_every=given.add_every,
                workers=given.workers,
                folder=Path(folder),
            )
    summary = {
        "errors": sum(row["errors"] for row in rows),
        "added_and_lost": sum(row["added_and_lost"] for row in rows),
        "p95_ms": [[row["supernets"], row["clients"], row["p95_ms"]] for row in rows],
    }
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
