"""Is anything lost when processes are killed? `python -m benchmarks.crash [--rounds 200] [--out FILE]`

Four processes add and remove bundles, move and drop aliases and read, all in one registry; for a fifth of the
changes the disk is full (files may not grow), and what is refused must not be there. Each has a
name of its own, of whose versions and aliases a model (`benchmarks.crash_model`) knows what must be
there, and all share another. At a random moment they are killed with SIGKILL: all at once in even
rounds, one after another in odd ones, and in every third round the process that opens the registry
afterwards is killed as well. In the others the registry is read as the kill left it, where nobody may write.
Then the registry is opened, and held to this: what was acknowledged is
there, what was under way is there whole or not at all, every bundle reads, folders are those of the
catalog, aliases stand where the trail of their moves ends, and `verify` finds nothing.

SIGKILL ends processes, not the machine: what the kernel has, stays. A power cut is not tried.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import torch

from benchmarks.crash_model import Entry, Shelf, read_log, replay, shelf_of
from benchmarks.crash_worker import ALIAS, PROCESSES, SHARED, VERSIONS, name_of, work
from benchmarks.document import document, write
from benchmarks.limits import read_only
from benchmarks.tiny_bundles import sketch, supernet, write_tiny_bundle
from snt_zoo.errors import SntZooError
from snt_zoo.registry import Registry, describe, read_bundle

_LONGEST_S = 1.2  # until the first kill of a round; an add takes about a tenth of a second
_NAMES = [*map(name_of, range(PROCESSES)), SHARED]


def make_bundles(folder: Path) -> dict[str, dict[str, Path]]:
    """For each name the folders of its versions, by id."""
    described = describe(supernet(0))
    made: dict[str, dict[str, Path]] = {}
    for i, name in enumerate(_NAMES):
        made[name] = {}
        for version in range(VERSIONS):
            path = folder / f"{name}-{version}"
            write_tiny_bundle(path, seed=100 * i + version, name=name, described=described)
            made[name][read_bundle(path).id] = path
    return made


def in_child(task: Callable[[], None]) -> int:
    """Start a process that does a task; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            task()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return child


def kill(child: int) -> None:
    """End a process as `kill -9` does, and wait until it is gone."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def run_round(number: int, home: Path, folders: dict[str, dict[str, Path]], draw: random.Random) -> Path:
    """Let the processes work, and kill them; returns the folder of their logs."""
    logs = home.parent / f"logs-{number}"
    logs.mkdir()
    seeds = [draw.getrandbits(32) for _ in range(PROCESSES)]

    def task(index: int) -> Callable[[], None]:
        return lambda: work(home, index, folders, logs / f"{index}.log", seeds[index])

    children = [in_child(task(index)) for index in range(PROCESSES)]
    while len(list(logs.iterdir())) < PROCESSES:  # until all are at work
        time.sleep(0.005)
    time.sleep(draw.uniform(0.0, _LONGEST_S))
    draw.shuffle(children)
    for child in children:
        kill(child)
        if number % 2:  # the others go on, with what this one left
            time.sleep(draw.uniform(0.0, _LONGEST_S / PROCESSES))
    return logs


def check(home: Path, before: dict[str, Shelf], logs: Path) -> tuple[dict[str, Shelf], dict[str, Any]]:
    """What is in the registry now, and what is wrong with that.

    Args:
        home: of the registry.
        before: what each process's own name had before the round.
        logs: of the round.
    """
    left = len(list((home / "incoming").iterdir()))
    registry = Registry.open(home)
    wrong: list[str] = []
    entries: dict[int, list[Entry]] = {i: read_log(logs / f"{i}.log") for i in range(PROCESSES)}
    after = {name: shelf_of(registry, name) for name in map(name_of, range(PROCESSES))}
    for index, log in entries.items():
        name = name_of(index)
        possible = replay(before[name], log)
        if after[name] not in possible:
            wrong.append(f"{name} is {after[name]}, must be one of {possible}")
        wrong += [f"{name}: {entry.failure}" for entry in log if entry.failure]
    records = registry.list()
    wrong += [line for record in records if (line := _unreadable(registry, record.id))]
    if sorted(path.name for path in (home / "bundles").iterdir()) != sorted(r.id for r in records):
        wrong.append("the folders are not those of the catalog")
    found = registry.search(sketch(0), 999)
    if {id for id, _ in found} != {record.id for record in records}:
        wrong.append("a search does not find what is listed")
    wrong += _check_trail(registry)
    verified = registry.verify()
    wrong += [f"verify: {problem.kind} {problem.where}: {problem.what}" for problem in verified.problems]
    done = Counter(entry.what for log in entries.values() for entry in log if entry.done)
    row = {
        "acknowledged": dict(sorted(done.items())),
        "under_way": sum(not entry.done for log in entries.values() for entry in log),
        "left_in_incoming": left,
        "unneeded_blobs": len(registry.gc(dry_run=True).blobs),
        "bundles": len(records),
        "wrong": wrong,
    }
    return after, row


def _unreadable(registry: Registry, id: str) -> str:
    try:
        return "" if registry.get(id).id == id else f"{id} is another bundle"
    except SntZooError as error:
        return f"{id} cannot be read: {error}"


def _check_trail(registry: Registry) -> list[str]:
    last = {(move.name, move.alias): move.digest for move in registry.aliases.history()}
    ends = {key: digest for key, digest in last.items() if digest is not None}
    stands = {(alias.name, alias.alias): alias.digest for alias in registry.aliases.all()}
    return [] if ends == stands else [f"the aliases are {stands}, their moves end at {ends}"]


def run(rounds: int, *, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One row for each round."""
    # A process that has run OpenMP's threads cannot be forked: its children would wait for ever.
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    draw = random.Random(seed)
    folders = make_bundles(folder)
    home = Registry.open(folder / "home").home
    shelves = {name: Shelf() for name in map(name_of, range(PROCESSES))}
    rows = []
    for number in range(rounds):
        logs = run_round(number, home, folders, draw)
        locked: list[str] = []
        if number % 3 == 0:
            restart = in_child(lambda: _restart(home))
            time.sleep(draw.uniform(0.0, 0.1))
            kill(restart)
        else:
            locked = _wrong_when_locked(home)
        shelves, row = check(home, shelves, logs)
        row["wrong"] += locked
        rows.append({"round": number, "killed": "one by one" if number % 2 else "at once"} | row)
        if row["wrong"]:
            print(f"round {number}: {row['wrong']}", file=sys.stderr, flush=True)
    return rows


def _wrong_when_locked(home: Path) -> list[str]:
    """What cannot be read of a registry as a kill left it, where nobody may write."""
    with read_only(home):
        try:
            registry = Registry.open(home)
            records = registry.list()
            wrong = [line for record in records if (line := _unreadable(registry, record.id))]
            if {id for id, _ in registry.search(sketch(0), 999)} != {record.id for record in records}:
                wrong.append("a search does not find what is listed")
        except SntZooError as error:
            wrong = [str(error)]
    return [f"where nobody may write: {line}" for line in wrong]


def _restart(home: Path) -> None:
    Registry.open(home).verify(repair=True)


def summarise(rows: list[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
    """What the rounds come to."""
    done: Counter[str] = Counter()
    for row in rows:
        done.update(row["acknowledged"])
    return {
        "rounds": len(rows),
        "processes": PROCESSES,
        "kills": len(rows) * PROCESSES + len(range(0, len(rows), 3)),
        "acknowledged": dict(sorted(done.items())),
        "changes_under_way_when_killed": sum(row["under_way"] for row in rows),
        "rounds_with_something_to_settle": sum(row["left_in_incoming"] > 0 for row in rows),
        "rounds_with_something_wrong": sum(bool(row["wrong"]) for row in rows),
        "unneeded_blobs_at_the_end": rows[-1]["unneeded_blobs"] if rows else 0,
        "alias": ALIAS,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Kill, open, check."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the document, which is done anyway")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = run(arguments.rounds, seed=arguments.seed, folder=Path(folder))
    summary = summarise(rows, seconds=time.perf_counter() - start)
    command = f"python -m benchmarks.crash --rounds {arguments.rounds} --seed {arguments.seed} --json"
    made = document(command, rows, summary)
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))
    if not summary["acknowledged"]:
        sys.exit("nothing was acknowledged in any round, so nothing was shown: raise _LONGEST_S")
    sys.exit(1 if summary["rounds_with_something_wrong"] else 0)


if __name__ == "__main__":
    main()
