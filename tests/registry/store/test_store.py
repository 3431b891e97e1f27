"""Folders and rows in step: crashes between them are settled, and nobody waits for ever."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.errors import RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.store import store
from snt_zoo.registry.store.store import Store
from tests.registry.crashing import CRASHED, after, crash, in_child
from tests.registry.making import snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


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


@pytest.mark.parametrize("name", [
    "..pending", "...pending", ".pending", "x.pending", "..%2f.pending", "letters.pending", "notes.tmp",
    ".DS_Store", "0123.tmp", "Thumbs.db",
])  # fmt: skip
def test_a_strange_name_among_the_marks_deletes_nothing(registry: Registry, name: str) -> None:
    """`..pending` named the folder of all bundles, which the next opening deleted."""
    (registry.home / "incoming" / name).write_bytes(b"mine")
    before = snapshot(registry)
    again = Registry.open(registry.home)
    again.gc()
    assert snapshot(again) == before
    again.remove(again.list()[0].id)
    assert len(again.list()) == 1 and (registry.home / "incoming" / name).read_bytes() == b"mine"


def test_a_mark_of_a_bundle_that_is_a_link_deletes_the_link_alone(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("years of work")
    link = registry.home / "bundles" / "thesis-01234567"
    link.symlink_to(tmp_path / "elsewhere")
    (registry.home / "incoming" / "thesis-01234567.pending").touch()
    Registry.open(registry.home)
    assert not link.is_symlink() and list((registry.home / "incoming").iterdir()) == []
    assert (tmp_path / "elsewhere" / "thesis.txt").read_text() == "years of work"


def test_a_path_is_made_of_an_id_alone(registry: Registry) -> None:
    for text in ("", ".", "..", "../x-01234567", "x", "X-01234567", "x-0123456g", "x-01234567/", "-01234567"):
        with pytest.raises(RegistryError, match="no id of a supernet"):
            registry._store.path(text)
