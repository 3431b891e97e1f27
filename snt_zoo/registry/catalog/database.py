"""How SQLite is spoken to: short transactions, WAL, and errors of this package.

Readers see one moment of the catalog and wait for nobody; a writer takes the write lock as it begins,
so that it never finds at its end that what it read has changed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from snt_zoo.errors import DamagedCatalogError, RegistryError

_BUSY_SECONDS = 30.0
_IMMEDIATE = "snt_zoo_immediate"
_DAMAGE = ("malformed", "not a database", "file is encrypted")


class Database:
    """A database file.

    Args:
        path: of the file; nothing is opened yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # No pool: a connection that outlives its transaction would break at a fork, and leak.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": _BUSY_SECONDS},
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that reads; raises `RegistryError` as everything here does."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes: whole, or not at all."""
        with self._errors(), self._engine.connect() as connection:
            immediate = connection.execution_options(**{_IMMEDIATE: True})
            with immediate.begin():
                yield immediate

    @contextlib.contextmanager
    def rebuild(self) -> Iterator[sa.Connection]:
        """A transaction in which tables may be made anew: no foreign key is held meanwhile.

        Raises:
            RegistryError: a row belongs to nothing in the end; then nothing was changed.
        """
        with self._errors(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA foreign_keys = OFF")  # not within a transaction
            immediate = connection.execution_options(**{_IMMEDIATE: True})
            with immediate.begin():
                yield immediate
                if lost := immediate.exec_driver_sql("PRAGMA foreign_key_check").all():
                    raise RegistryError(f"{self.path} was not changed: {lost[0][0]} would lose its bundle")

    def use_wal(self) -> None:
        """Let readers and a writer work side by side; kept in the file."""
        with self._errors():
            raw = self._engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL")  # not within a transaction
            finally:
                raw.close()

    def copy_to(self, target: Path) -> None:
        """Copy the database as it is at one moment, with what is still in the WAL."""
        with (
            self._errors(),
            contextlib.closing(sqlite3.connect(self.path)) as source,
            contextlib.closing(sqlite3.connect(target)) as sink,
        ):
            source.backup(sink)

    def problems(self) -> list[str]:
        """What SQLite's own checks find: damaged pages, and rows that belong to nothing."""
        with self.read() as connection:
            pages = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check").all()]
            rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        lost = [f"row {row[1]} of {row[0]} belongs to nothing in {row[2]}" for row in rows]
        return [page for page in pages if page != "ok"] + lost

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            reason = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            if any(word in reason for word in _DAMAGE):
                raise DamagedCatalogError(
                    f"the catalog {self.path} cannot be used: {reason}; the bundles are not touched by "
                    "that: `snt-zoo verify --repair` sets it aside and lists them anew"
                ) from error
            raise RegistryError(
                f"the catalog {self.path} cannot be used: {reason}; try again, and if that does not "
                "help run `snt-zoo verify`"
            ) from error
        except UnicodeEncodeError as error:  # half of a surrogate pair, as of a file name that is no UTF-8
            raise RegistryError(f"{ascii(error.object)[:80]} is no text: write it in UTF-8") from error


def _configure(connection: Any, _: Any) -> None:
    # The driver's own transactions would begin too late for a consistent read: `_begin` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # a row must not be lost after its mark was removed
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
