"""A few rounds of `benchmarks.crash`, and that it would see what it looks for."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import crash
from benchmarks.crash_model import Entry, Shelf, replay, shelf_of
from benchmarks.crash_worker import ALIAS, PROCESSES, name_of
from snt_zoo.registry import Registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def test_nothing_is_lost_when_processes_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "_LONGEST_S", 0.6)
    rows = crash.run(4, seed=random.SystemRandom().getrandbits(32), folder=tmp_path)
    assert [row["wrong"] for row in rows] == [[]] * 4
    summary = crash.summarise(rows, seconds=1.0)
    assert summary["kills"] == 4 * PROCESSES + 2
    assert sum(summary["acknowledged"].values()) > 0


@pytest.fixture
def shelves(tmp_path: Path) -> tuple[Path, dict[str, Shelf], Path]:
    """A registry with a version of each process's name, what the model says of it, and empty logs."""
    folders = crash.make_bundles(tmp_path)
    registry = Registry.open(tmp_path / "home")
    for index in range(PROCESSES):
        versions = folders[name_of(index)]
        id = registry.add(next(iter(versions.values()))).id
        registry.aliases.move(ALIAS, id)
    logs = tmp_path / "logs"
    logs.mkdir()
    before = {name_of(index): shelf_of(registry, name_of(index)) for index in range(PROCESSES)}
    after, row = crash.check(registry.home, before, logs)
    assert (after, row["wrong"]) == (before, [])
    return registry.home, after, logs


def test_the_check_sees_what_is_lost(shelves: tuple[Path, dict[str, Shelf], Path]) -> None:
    home, before, logs = shelves
    assert all(
        len(shelf.ids) == 1 and shelf.best == shelf.latest == shelf.ids[0] for shelf in before.values()
    )
    ids = [shelf.ids[0] for shelf in before.values()]
    with closing(sqlite3.connect(home / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM aliases WHERE bundle = ?", (ids[0],))
        connection.execute("DELETE FROM bundles WHERE id = ?", (ids[0],))
    (home / "bundles" / ids[1] / "README.md").unlink()
    shutil.rmtree(home / "bundles" / ids[2])
    wrong = "\n".join(crash.check(home, before, logs)[1]["wrong"])
    for told in (
        "own-0 is Shelf(ids=()",
        f"{ids[1]} cannot be read",
        "folders are not",
        "their moves end",
        "verify:",
    ):
        assert told in wrong


def test_the_model_knows_what_may_be_there() -> None:
    log = [
        Entry("add", "a", done=True),
        Entry("add", "b", done=True),
        Entry("move", "a", done=True),
        Entry("tag", "a", done=True),
        Entry("add"),  # of the name that all share
        Entry("remove", "b", done=True),
    ]
    shelf = Shelf(("a",), best="a", latest="a", tagged=frozenset({"a"}))
    assert replay(Shelf(), log) == [shelf]
    assert replay(shelf, [Entry("drop", "a")]) == [shelf, Shelf(("a",), None, "a", frozenset({"a"}))]
    assert replay(shelf, [Entry("remove", "a")]) == [shelf, Shelf()]
    assert replay(Shelf(("a", "b", "c"), None, "a"), [Entry("remove", "a", done=True)]) == [
        Shelf(("b", "c"), None, "c")
    ]
