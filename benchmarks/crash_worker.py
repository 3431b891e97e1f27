"""What each process of `benchmarks.crash` does until it is killed: changes at random, written down."""

from __future__ import annotations

import contextlib
import json
import os
import random
from pathlib import Path
from typing import Any

from benchmarks.limits import files_of_at_most
from snt_zoo.errors import AlreadyInRegistryError, NotInRegistryError, RegistryError, SntZooError
from snt_zoo.registry import Registry

PROCESSES = 4
VERSIONS = 3  # of each name
SHARED = "shared"  # the name that all of them change
ALIAS = "best"
FULL = 0.2  # of the changes find the disk full
_ROOM = (0, 100, 4_096, 20_000, 33_000, 100_000)  # bytes that a file may have then


def name_of(index: int) -> str:
    """The name whose versions one process alone changes."""
    return f"own-{index}"


class Log:
    """A file to which a line is appended in one write, which a kill cannot cut."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, **entry: Any) -> None:
        """Write a line."""
        os.write(self._file, json.dumps(entry).encode() + b"\n")


def work(home: Path, index: int, folders: dict[str, dict[str, Path]], log_path: Path, seed: int) -> None:
    """Change and read a registry for ever.

    Args:
        home: of the registry.
        index: of this process.
        folders: of the bundles, for each name by id.
        log_path: where each change is noted before it begins and after it was acknowledged.
        seed: decides what is changed.
    """
    draw = random.Random(seed)
    log = Log(log_path)
    registry = Registry.open(home)
    while True:
        own = draw.random() < 0.7
        name = name_of(index) if own else SHARED
        id = draw.choice(list(folders[name]))
        here = id in registry.records([id])
        what = draw.choice(("add", "add", "remove", "move", "move", "drop", "tag", "read"))
        if (
            what == "read"
            or (own and here == (what == "add"))
            or (own and what == "drop" and not _held(registry, name))
        ):
            _read(registry, log, name)
            continue
        if own:
            log.note(what=what, id=id)
        room = draw.choice(_ROOM) if draw.random() < FULL else None
        try:
            with contextlib.nullcontext() if room is None else files_of_at_most(room):
                _change(registry, what, name, id, folders)
        except (AlreadyInRegistryError, NotInRegistryError) as error:
            if own:
                log.note(failure=f"{what} {id}: {error}")
        except RegistryError as error:
            if room is None:
                log.note(failure=f"{what} {id}: {error}")
            elif own:
                log.note(refused=what)
        except Exception as error:
            log.note(failure=f"{what} {id}: {type(error).__name__}: {error}")
        else:
            log.note(done=what, own=own)


def _change(registry: Registry, what: str, name: str, id: str, folders: dict[str, dict[str, Path]]) -> None:
    if what == "add":
        registry.add(folders[name][id])
    elif what == "remove":
        registry.remove(id)
    elif what == "move":
        registry.aliases.move(ALIAS, id, by="crash")
    elif what == "drop":
        registry.aliases.drop(name, ALIAS, by="crash")
    else:
        registry.tag(id, add=["seen"])


def _held(registry: Registry, name: str) -> bool:
    return any(alias.alias == ALIAS for alias in registry.aliases.all(name))


def _read(registry: Registry, log: Log, name: str) -> None:
    """A reader sees a bundle whole, or that it is gone."""
    for record in registry.list():
        if record.name == name:
            try:
                registry.get(record.id)
            except NotInRegistryError:
                continue
            except SntZooError as error:
                log.note(failure=f"read {record.id}: {type(error).__name__}: {error}")
