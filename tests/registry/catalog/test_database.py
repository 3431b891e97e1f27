"""A file that is no database, and one that is damaged, are told from other failures."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.limits import read_only
from snt_zoo.errors import DamagedCatalogError, RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.database import Database


def test_catalogs_of_another_kind_are_refused(registry: Registry) -> None:
    path = registry.home / "catalog.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE state SET value = 99 WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(RegistryError, match=r"schema version 99.*upgrade snt-zoo"):
        Registry.open(registry.home)
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(DamagedCatalogError, match=r"catalog\.sqlite cannot be used.*verify --repair"):
        Registry.open(registry.home)
    with pytest.raises(RegistryError):
        registry.list()


class Stuck:
    """An engine that cannot clear away what a killed process left."""

    def connect(self) -> None:
        raise sa.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("locking protocol"))

    begin = connect


def test_what_a_kill_left_where_nobody_may_write_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    Database(home / "x.sqlite").use_wal()
    database = Database(home / "x.sqlite")
    monkeypatch.setattr(database, "_engine", Stuck())
    with read_only(home), database.read() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    with pytest.raises(RegistryError, match="locking protocol"), database.read():  # others may be writing
        pass
