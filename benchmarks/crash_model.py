"""What must be in a registry after a crash: a model of one name's versions and aliases.

It is the obvious one, lists and a few lines for each kind of change, and shares no code with the
registry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snt_zoo.registry import Registry


@dataclass(frozen=True)
class Shelf:
    """The versions of one name.

    Args:
        ids: that are there, in the order in which they were added.
        best: id for which the alias `best` stands.
        latest: likewise.
        tagged: ids with the tag `seen`.
    """

    ids: tuple[str, ...] = ()
    best: str | None = None
    latest: str | None = None
    tagged: frozenset[str] = frozenset()


@dataclass
class Entry:
    """A change in a log.

    Args:
        what: kind of change.
        id: of the bundle; empty if it was one that all processes change.
        done: whether it was acknowledged.
        failure: why it was not, if the registry refused it or a reader saw what it must not.
    """

    what: str
    id: str = ""
    done: bool = False
    failure: str | None = None


def read_log(path: Path) -> list[Entry]:
    """The changes that a process began."""
    entries: list[Entry] = []
    if not path.exists():  # killed before it began
        return entries
    for line in path.read_text(encoding="utf-8").splitlines():
        entry: dict[str, Any] = json.loads(line)
        if "what" in entry:
            entries.append(Entry(entry["what"], entry["id"]))
        elif "refused" in entry:  # for want of room: it must not be there
            entries.pop()
            entries.append(Entry("refused for want of room", done=True))
        elif "failure" in entry:
            entries.append(Entry("failure", done=False, failure=entry["failure"]))
        elif entry["own"]:
            entries[-1].done = True
        else:
            entries.append(Entry(entry["done"], done=True))
    return entries


def replay(shelf: Shelf, entries: list[Entry]) -> list[Shelf]:
    """What may be there: with the change that was under way, and without it."""
    own = [entry for entry in entries if entry.id]
    for entry in own:
        if entry.done:
            shelf = apply(shelf, entry)
    if own and not own[-1].done:
        return [shelf, apply(shelf, own[-1])]
    return [shelf]


def apply(shelf: Shelf, entry: Entry) -> Shelf:
    """The shelf after a change."""
    id = entry.id
    if entry.what == "add":
        return replace(shelf, ids=(*shelf.ids, id), latest=id)
    if entry.what == "remove":
        ids = tuple(one for one in shelf.ids if one != id)
        newest = ids[-1] if ids else None
        return Shelf(
            ids,
            best=None if shelf.best == id else shelf.best,
            latest=newest if shelf.latest == id else shelf.latest,
            tagged=shelf.tagged - {id},
        )
    if entry.what == "move":
        return replace(shelf, best=id)
    if entry.what == "drop":
        return replace(shelf, best=None)
    return replace(shelf, tagged=shelf.tagged | {id})


def shelf_of(registry: Registry, name: str) -> Shelf:
    """What is there."""
    records = [record for record in registry.list() if record.name == name]
    aliases = {alias.alias: alias.id for alias in registry.aliases.all(name)}
    order = [move.digest for move in registry.aliases.history(name, "latest") if "was added" in move.why]
    places = {digest: place for place, digest in enumerate(order)}
    return Shelf(
        tuple(record.id for record in sorted(records, key=lambda record: places[record.digest])),
        aliases.get("best"),
        aliases.get("latest"),
        frozenset(record.id for record in records if "seen" in record.tags),
    )
