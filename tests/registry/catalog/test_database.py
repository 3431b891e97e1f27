"""A file that is no database, and one that is damaged, are told from other failures."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
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


def test_while_it_is_held_connections_are_used_again_but_not_to_a_file_that_was_put_aside(
    tmp_path: Path,
) -> None:
    class Counted(Database):
        made = 0

        def _connect(self) -> sqlite3.Connection:
            self.made += 1
            return super()._connect()

    def fill(path: Path, value: int) -> None:
        connection = sqlite3.connect(path)
        connection.executescript(f"CREATE TABLE t (v); INSERT INTO t VALUES ({value});")
        connection.close()

    def told(database: Database) -> int:
        with database.read() as connection:
            return int(connection.exec_driver_sql("SELECT v FROM t").scalar_one())

    path = tmp_path / "catalog.sqlite"
    fill(path, 1)
    database = Counted(path)
    with database.held():
        assert [told(database) for _ in range(4)] == [1] * 4
        assert database.made == 2  # one that asks whether it can be read, one of the pool
        path.rename(tmp_path / "aside.sqlite")
        fill(path, 2)
        assert told(database) == 2
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE t SET v = 3")
        assert told(database) == 3
    made = database.made
    assert [told(database) for _ in range(2)] == [3, 3] and database.made == made + 2


def test_what_reads_keeps_its_locks_while_others_come_and_go(tmp_path: Path) -> None:
    """Another process that closes its connection must not take itself for the last, and clear the WAL."""
    path = tmp_path / "catalog.sqlite"
    database = Database(path)
    database.use_wal()
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (v)")
    with database.held():
        for value in range(3):
            for _ in range(3):
                with database.read() as connection:
                    assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == value
            code = (
                f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('SELECT * FROM t'); c.close()"
            )
            subprocess.run([sys.executable, "-c", code], check=True)
            assert (tmp_path / "catalog.sqlite-wal").is_file()
            with database.write() as connection:
                connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT count(*) FROM t").fetchone() == (3,)
    assert Database(path).problems() == []
