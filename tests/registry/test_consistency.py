"""Crashes between the steps, failures within them, and several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.errors import RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog import rows
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.store import store
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep import intake
from tests.registry.making import make_bundle, snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

CRASHED = 77


def crash(*_: Any, **__: Any) -> None:
    """As kill -9 does: no handler, no finally."""
    os._exit(CRASHED)


def in_child(work: Callable[[], object]) -> int:
    """Exit status of a forked process that does some work."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        crash()

    return call


CRASHES_OF_ADD: dict[str, tuple[type, str, bool]] = {
    "while it is copied": (Store, "staged", False),
    "before the mark": (Store, "mark", False),
    "after the mark": (Store, "mark", True),
    "after the rename": (Store, "put", True),
    "before the row": (Catalog, "insert", False),
    "after the row": (Catalog, "insert", True),
    "before the mark goes": (Store, "settle", False),
}


@pytest.mark.parametrize("when", CRASHES_OF_ADD)
def test_a_crash_while_adding(
    when: str, good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, method, late = CRASHES_OF_ADD[when]
    before = snapshot(registry)

    def work() -> None:
        if when == "while it is copied":
            setattr(store, "read_bundle", crash)  # noqa: B010  # in the child alone
        else:
            original = getattr(owner, method)
            setattr(owner, method, after(original) if late else crash)
        registry.add(good)

    assert in_child(work) == CRASHED
    done = when in ("after the row", "before the mark goes")
    assert len(registry.list()) == (3 if done else 2)  # a reader never sees half of it
    again = Registry.open(registry.home)
    assert list((registry.home / "incoming").iterdir()) == []
    if done:
        assert again.get(again.resolve("shapes")).config.name == "shapes"
        again.remove(again.resolve("shapes"))
        after_removal = snapshot(again)
        for part in ("files", "folders", "list", "search"):
            assert after_removal[part] == before[part]
    else:
        assert snapshot(again) == before
    assert again.add(good).name == "shapes"


@pytest.mark.parametrize(("owner", "method", "late"), [
    (Store, "mark", True), (Catalog, "delete", False), (Catalog, "delete", True), (Store, "discard", False),
    (Store, "discard", True),
])  # fmt: skip
def test_a_crash_while_removing(registry: Registry, owner: type, method: str, late: bool) -> None:
    before = snapshot(registry)
    record = registry.list()[0]

    def work() -> None:
        setattr(owner, method, after(getattr(owner, method)) if late else crash)
        registry.remove(record.id)

    assert in_child(work) == CRASHED
    again = Registry.open(registry.home)
    assert list((registry.home / "incoming").iterdir()) == []
    if method == "mark" or (method, late) == ("delete", False):
        assert snapshot(again) == before
        again.remove(record.id)
    assert [r.id for r in again.list()] == [r.id for r in before["list"][1:]]
    assert again._store.ids() == [r.id for r in before["list"][1:]]
    assert again.rebuild_index(from_bundles=True) == 1  # nothing comes back


def test_the_next_change_settles_too(good: Path, registry: Registry) -> None:
    """A registry that was open while another process crashed."""

    def work() -> None:
        Catalog.insert = crash  # type: ignore[method-assign]
        registry.add(good)

    assert in_child(work) == CRASHED
    assert list((registry.home / "incoming").iterdir()) != []
    registry.remove(registry.list()[0].id)
    assert list((registry.home / "incoming").iterdir()) == []
    assert len(registry._store.ids()) == 1


@pytest.mark.parametrize("step", ["mark", "put", "insert", "fsync", "commit"])
def test_a_failure_while_adding_changes_nothing(
    step: str, good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(registry)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr("snt_zoo.registry.store.store.sync_folder", fail)
    elif step == "commit":
        # The database itself gives up after the rows were written.
        monkeypatch.setattr(rows, "insert", after_insert_fails(rows.insert))
    else:
        monkeypatch.setattr(Catalog if step == "insert" else Store, step, fail)
    with pytest.raises((OSError, RegistryError)):
        registry.add(good)
    monkeypatch.undo()
    assert snapshot(Registry.open(registry.home)) == before
    assert list((registry.home / "incoming").iterdir()) == []
    assert registry.add(good).name == "shapes"


def after_insert_fails(original: Callable[..., None]) -> Callable[..., None]:
    def insert(connection: Any, *args: Any) -> None:
        original(connection, *args)
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    return insert


def test_an_interrupt_while_adding_changes_nothing(
    good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(registry)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for owner, method in ((Store, "put"), (Catalog, "insert"), (intake, "embeddings")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, interrupt)
            with pytest.raises(KeyboardInterrupt):
                registry.add(good)
        assert snapshot(registry) == before


def _add_all(home: Path, folders: list[Path], start: Any, results: Any) -> None:
    start.wait()
    try:
        registry = Registry.open(home)
        results.put([registry.add(folder).id for folder in folders])
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")


def test_two_processes_add_at_once(tmp_path: Path) -> None:
    """From nothing: they also race for making the catalog."""
    folders = [
        [make_bundle(tmp_path / f"{p}{i}", seed=i, name=f"p{p}-{i}") for i in range(3)] for p in range(2)
    ]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.Queue()
    children = [
        context.Process(target=_add_all, args=(tmp_path / "home", own, start, results)) for own in folders
    ]
    for child in children:
        child.start()
    answers = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
        child.close()
    results.close()
    results.join_thread()
    assert all(isinstance(answer, list) for answer in answers), answers
    registry = Registry.open(tmp_path / "home")
    assert sorted(r.id for r in registry.list()) == sorted(id for ids in answers for id in ids)
    assert len(registry.list()) == 6
    assert all(registry.get(r.id).id == r.id for r in registry.list())
    assert registry.rebuild_index() == 6


def test_two_processes_seed_at_once(tmp_path: Path) -> None:
    starters = [make_bundle(tmp_path / f"s{i}", seed=i, name=f"s{i}") for i in range(3)]
    home = tmp_path / "home"
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                os._exit(Registry.open(home).seed(starters))
            except BaseException:
                os._exit(99)
        children.append(child)
    added = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sum(added) == 3
    assert [r.name for r in Registry.open(home).list()] == ["s0", "s1", "s2"]


def test_threads_share_a_registry(tmp_path: Path, registry: Registry) -> None:
    folders = [make_bundle(tmp_path / f"t{i}", seed=i, name=f"t{i}") for i in range(3)]
    errors: list[BaseException] = []

    def work(folder: Path) -> None:
        try:
            registry.add(folder)
            assert registry.list()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(registry.list()) == 5


def test_opening_does_not_wait_for_an_add(good: Path, registry: Registry) -> None:
    """Its folder is in `incoming`, and must not be swept either."""
    seen: list[int] = []

    def look(sketch: Any) -> Any:
        def opening() -> None:
            seen.append(len(Registry.open(registry.home).list()))

        thread = threading.Thread(target=opening)
        thread.start()
        thread.join(timeout=10)
        return MOMENTS.embed(sketch)

    Registry.open(registry.home, encoder=replace(MOMENTS, embed=look)).add(good)
    assert seen == [2]
    assert len(registry.list()) == 3


def test_whoever_waits_too_long_is_told(
    good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._store.lock():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(RegistryError, match="another process has been changing"):
        Registry.open(registry.home).add(good)
    done.set()
    thread.join()
