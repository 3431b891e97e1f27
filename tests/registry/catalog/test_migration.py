"""Registries of every earlier format open, keep what they held, and are copied first.

`formats/schema-N.zip` is a registry's home as the code wrote it when N was the newest schema: two
versions of `letters` (one with two sources and tags, one that names the other as its parent and was a
starter) and the memory of a starter that was removed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snt_zoo.errors import RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog import migration
from tests.registry.earlier import MEANS, dump
from tests.registry.making import snapshot


def test_a_copy_is_kept_and_the_second_opening_changes_nothing(old: Path) -> None:
    original = dump(shutil.copy(old / "catalog.sqlite", old.parent))
    before = snapshot(Registry.open(old, encoder=MEANS))
    (copy,) = (old / "backups").iterdir()
    assert dump(copy) == original
    assert snapshot(Registry.open(old, encoder=MEANS)) == before
    assert list((old / "backups").iterdir()) == [copy]


def test_a_failing_step_leaves_the_registry_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(old / "catalog.sqlite")
    monkeypatch.setattr("alembic.command.upgrade", _fail)
    with pytest.raises(RegistryError, match=r"could not be brought to.*backups"):
        Registry.open(old)
    assert dump(old / "catalog.sqlite") == before
    monkeypatch.undo()
    assert len(Registry.open(old).list()) == 2


def _fail(config: object, revision: object) -> None:
    connection = config.attributes["connection"]  # type: ignore[attr-defined]
    connection.exec_driver_sql("DROP TABLE vectors")
    raise RuntimeError("no")


def test_without_room_for_a_copy_nothing_is_changed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    before = dump(old / "catalog.sqlite")
    monkeypatch.setattr(migration, "sync_folder", full)
    with pytest.raises(RegistryError, match="free some space"):
        Registry.open(old)
    assert dump(old / "catalog.sqlite") == before
