"""Changes happen whole or not at all: crashes, failures, several processes at once, starters."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import AlreadyInRegistryError, IntegrityError, RegistryError, SntZooWarning
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle import bundle
from snt_zoo.registry.catalog import rows
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep import intake
from tests.registry.crashing import CRASHED, after, crash, in_child
from tests.registry.making import make_bundle, snapshot


def test_a_failing_encoder_changes_nothing(good: Path, registry: Registry) -> None:
    before = snapshot(registry)

    def broken(sketch: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Registry.open(registry.home, encoder=replace(MOMENTS, embed=broken)).add(good)
    for vector in (torch.zeros(64), torch.full((64,), float("nan")), torch.ones(2, 32)):
        with pytest.raises(Exception, match="must be a finite vector other than zero"):
            Registry.open(registry.home, encoder=DatasetEncoder("x", lambda _, v=vector: v)).add(good)
    assert snapshot(registry) == before


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


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
            setattr(bundle, "read_bundle", crash)  # noqa: B010  # in the child alone
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


def test_the_same_bundle_twice_is_refused(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    before = snapshot(registry)
    with pytest.raises(AlreadyInRegistryError, match=f"{record.id} is in the registry already"):
        registry.add(good)
    assert snapshot(registry) == before


def test_starters_are_added_once(starters: list[Path], registry: Registry) -> None:
    calls: list[str] = []

    def counting(sketch: Sketch) -> torch.Tensor:
        calls.append(sketch.name)
        return MOMENTS.embed(sketch)

    registry = Registry.open(registry.home, encoder=replace(MOMENTS, embed=counting))
    assert registry.seed(starters[:2]) == 2
    assert registry.seed(starters[:2]) == 0
    assert len(calls) == 2
    registry.remove(registry.resolve("starter-5"))
    again = Registry.open(registry.home)
    assert again.seed(starters) == 1  # the third; the first does not come back
    assert [r.name for r in again.list()] == ["leaves", "letters", "starter-6", "starter-7"]
    assert again.add(starters[0]).name == "starter-5"  # unless it is asked for
    assert again.seed(starters) == 0


def test_a_starter_that_is_there_counts_as_seeded(starters: list[Path], registry: Registry) -> None:
    id = registry.add(starters[0]).id
    assert registry.seed(starters[:1]) == 0
    registry.remove(id)
    assert registry.seed(starters[:1]) == 0
    assert id not in [r.id for r in registry.list()]


def test_seeding_what_is_seeded_reads_manifests_alone(
    starters: list[Path], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.seed(starters)
    for folder in starters:
        for path in folder.iterdir():
            if path.name != "manifest.json":
                path.unlink()
    monkeypatch.setattr("snt_zoo.registry.store.store.Store.lock", None)  # not even the lock is taken
    assert registry.seed(starters) == 0


def test_a_spoilt_starter_leaves_the_others(starters: list[Path], registry: Registry) -> None:
    (starters[1] / "README.md").write_text("x")
    (starters[0] / ".DS_Store").touch()
    with (
        pytest.warns(SntZooWarning, match=r"left out .*README\.md"),
        pytest.warns(SntZooWarning, match="DS_S"),
    ):
        assert registry.seed(starters) == 1
    assert [r.name for r in registry.list()] == ["leaves", "letters", "starter-7"]
    (starters[0] / ".DS_Store").unlink()
    shutil.copytree(
        make_bundle(starters[1].parent / "ok", seed=6, name="starter-6"), starters[1], dirs_exist_ok=True
    )
    assert registry.seed(starters) == 2


def test_adding_what_a_lost_catalog_left(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    (record.path / "README.md").write_text("damaged meanwhile")
    with sqlite3.connect(registry.home / "catalog.sqlite") as connection:
        connection.execute("DELETE FROM vectors")
        connection.execute("DELETE FROM bundles")
    connection.close()
    with pytest.raises(IntegrityError):
        registry.rebuild_index(from_bundles=True)
    assert registry.add(good).id == record.id
    assert registry.get(record.id).id == record.id
    assert registry.rebuild_index(from_bundles=True) == 3


def test_a_folder_of_another_name_is_no_bundle_of_the_store(good: Path, registry: Registry) -> None:
    shutil.copytree(good, registry.home / "bundles" / "shapes-00000000")
    before = snapshot(registry)
    with pytest.raises(IntegrityError, match="shapes-00000000 holds"):
        registry.rebuild_index(from_bundles=True)
    assert snapshot(registry) == before
