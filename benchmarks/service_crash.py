"""A service that is killed under load: `python -m benchmarks.service_crash [--rounds 50] [--out FILE]`

In each round clients add bundles, move an alias and query; at a random moment the service is killed with
SIGKILL, and started again on the same port while the clients repeat what had no answer. Then the registry is
opened and held to this: every add that was acknowledged is there and whole, every client ended well, and
`verify` finds nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.document import document, tell, write
from benchmarks.service_process import Service
from benchmarks.tiny_bundles import sketch, supernet, write_tiny_bundle
from snt_zoo.encoders.target import Target
from snt_zoo.errors import SntZooError
from snt_zoo.registry import Registry, describe
from snt_zoo.registry.remote.asking import retrieve
from snt_zoo.registry.remote.registry import RemoteRegistry

CLIENTS = 3
ADDS = 3  # of each client in a round
_LONGEST_S = 1.0  # until the kill


class Worker(threading.Thread):
    """A client that adds its bundles one after another, and looks for each."""

    def __init__(self, service: Service, bundles: list[Path], cache: Path) -> None:
        super().__init__(daemon=True)
        self._remote = RemoteRegistry.at(service.url, token=service.tokens["write"], cache=cache)
        self._remote.count()  # from then on it is patient
        self._bundles = bundles
        self.added: list[str] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        """Add, name and query."""
        try:
            for bundle in self._bundles:
                record = self._remote.add(bundle)
                self.added.append(record.id)
                self._remote.aliases.move("best", record.id)
                if not retrieve(self._remote, Target(sketch(7)), k=3).matches:
                    self.wrong.append("a query had no answer")
        except SntZooError as error:
            self.wrong.append(f"a client that repeats ended with {type(error).__name__}: {error}")


def run(rounds: int, *, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One row for each round."""
    draw = random.Random(seed)
    described = describe(supernet(0))
    home = folder / "home"
    registry = Registry.open(home)
    first = write_tiny_bundle(folder / "first", seed=1, name="first", described=described)
    kept = {registry.add(first).id}
    rows = []
    service = Service(home, folder / "tokens")
    try:
        for number in range(rounds):
            workers = [
                Worker(
                    service,
                    [
                        write_tiny_bundle(
                            folder / f"{number}-{client}-{i}",
                            seed=1_000 * number + 10 * client + i + 2,
                            name=f"client-{client}",
                            described=described,
                        )
                        for i in range(ADDS)
                    ],
                    folder / f"cache-{client}",
                )
                for client in range(CLIENTS)
            ]
            for worker in workers:
                worker.start()
            time.sleep(draw.uniform(0.0, _LONGEST_S))
            before = sum(len(worker.added) for worker in workers)
            service.kill()
            service = Service(home, folder / "tokens", port=service.port)
            for worker in workers:
                worker.join(120)
            added = {id for worker in workers for id in worker.added}
            kept |= added
            wrong = [line for worker in workers for line in worker.wrong]
            wrong += [f"{worker.name} did not end" for worker in workers if worker.is_alive()]
            rows.append(
                {
                    "round": number,
                    "acknowledged": len(added),
                    "before_the_kill": before,
                    "wrong": wrong + check(home, kept),
                }
            )
            tell(rows[-1])
    finally:
        service.kill()
    return rows


def check(home: Path, kept: set[str]) -> list[str]:
    """What is wrong with the registry, which must hold these ids."""
    registry = Registry.open(home)
    wrong = [f"{id} was acknowledged and is lost" for id in kept - {one.id for one in registry.list()}]
    wrong += [f"verify: {one.kind} {one.where}: {one.what}" for one in registry.verify().problems]
    return wrong


def main() -> None:
    """Kill, start again, check."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the document, which is done anyway")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = run(given.rounds, seed=given.seed, folder=Path(folder))
    summary = {
        "rounds": len(rows),
        "acknowledged": sum(row["acknowledged"] for row in rows),
        "rounds_with_something_wrong": sum(bool(row["wrong"]) for row in rows),
        "killed_between_adds_of_a_round": sum(
            0 < row["before_the_kill"] < row["acknowledged"] for row in rows
        ),
    }
    made = document(f"python -m benchmarks.service_crash --rounds {given.rounds}", rows, summary)
    if given.out is not None:
        write(given.out, made)
    print(json.dumps(made, ensure_ascii=False))
    sys.exit(1 if summary["rounds_with_something_wrong"] or not summary["acknowledged"] else 0)


if __name__ == "__main__":
    main()
