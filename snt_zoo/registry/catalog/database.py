"""How SQLite is spoken to: short transactions, WAL, and errors of this package.

Readers see one moment of the catalog and wait for nobody; a writer takes the write lock as it begins,
so that it never finds at its end that what it read has changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from snt_zoo.errors import DamagedCatalogError, DiskFullError, ReadOnlyRegistryError, RegistryError

_BUSY_SECONDS = 30.0
_IMMEDIATE = "snt_zoo_immediate"
_FULL = "disk is full"
_DAMAGE = ("malformed", "not a database", "file is encrypted")


class Database:
    """A database file.

    Args:
        path: of the file; nothing is opened yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(self._connect)
        self._pool: sa.Engine | None = None
        self._pool_of = 0
        self._is_usual = False
        self._copy: tuple[object, Path] | None = None

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that reads; raises `RegistryError` as everything here does."""
        with self._errors(), self._reader().begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes: whole, or not at all."""
        with self._errors(), self._engine.connect() as connection:
            immediate = connection.execution_options(**{_IMMEDIATE: True})
            with immediate.begin():
                yield immediate

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, what SQLite keeps beside the file stays there: then to read needs no room on the disk. And
        connections that read are used again, which are half of the time of a short question."""
        connection = None
        with contextlib.suppress(sqlite3.Error):  # as where nobody may write; then it is read as it is
            connection = sqlite3.connect(self.path, check_same_thread=False)
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        outer, self._pool = self._pool, _engine(self._connect, pool_size=0)  # of any number
        try:
            yield
        finally:
            self._pool, pool = outer, self._pool
            if pool is not None:
                pool.dispose()
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        # SQLAlchemy's pool lends a connection to one thread at a time.
        return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)

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

    def _reader(self) -> sa.Engine:
        """What reads: as a rule the engine that writes.

        SQLite writes beside a file in WAL mode, even to read it. Where nobody may write there nobody changes
        the file either, and it is read as it is. Then it is asked each time: another user may have the right.
        """
        if self._is_usual and _may_be_written(self.path):  # a disk can come to be read-only
            return self._pooled()
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1")
            self._is_usual = True
            return self._pooled()
        except sa.exc.OperationalError as error:
            reason = str(error.orig)
            # "locking protocol": of what a killed process left beside the file, which cannot be cleared away.
            stuck = "locking protocol" in reason and not _may_be_written(self.path)
            if not (stuck or _is_read_only(reason)) or not self.path.is_file():
                raise
        path = self._with_wal()
        return _engine(lambda: sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True))

    def _pooled(self) -> sa.Engine:
        """What reads while it is `held`; connections to a file that was put aside are not used again."""
        if self._pool is None:
            return self._engine
        number = self.path.stat().st_ino
        if number != self._pool_of:
            self._pool_of = number
            self._pool.dispose()
        return self._pool

    def _with_wal(self) -> Path:
        """The file; or a copy with what only its WAL holds, as of a process that was killed."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        if not wal.is_file() or not wal.stat().st_size:
            return self.path
        key = [(path.stat().st_mtime_ns, path.stat().st_size) for path in (self.path, wal)]
        if self._copy is None or self._copy[0] != key:
            folder = Path(tempfile.mkdtemp(prefix="snt-zoo-catalog-"))
            weakref.finalize(self, shutil.rmtree, folder, True)
            for path in (self.path, wal):
                shutil.copyfile(path, folder / path.name)
            with contextlib.closing(sqlite3.connect(folder / self.path.name)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._copy = key, folder / self.path.name
        return self._copy[1]

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
            if _is_read_only(reason):
                raise ReadOnlyRegistryError(
                    f"the catalog {self.path} cannot be written: {reason}; set SNT_ZOO_HOME to a folder that "
                    "you may write to"
                ) from error
            kind = DiskFullError if _FULL in reason else RegistryError
            raise kind(
                f"the catalog {self.path} cannot be used: {reason}; try again, and if that does not "
                "help run `snt-zoo verify`"
            ) from error
        except UnicodeEncodeError as error:  # half of a surrogate pair, as of a file name that is no UTF-8
            raise RegistryError(f"{ascii(error.object)[:80]} is no text: write it in UTF-8") from error


def _engine(connect: Callable[[], sqlite3.Connection], **pool: int) -> sa.Engine:
    # As a rule no pool: a connection that outlives its transaction would break at a fork, and leak.
    made = sa.create_engine("sqlite://", poolclass=QueuePool if pool else NullPool, creator=connect, **pool)
    sa.event.listen(made, "connect", _configure)
    sa.event.listen(made, "begin", _begin)
    return made


def _is_read_only(reason: str) -> bool:
    return any(words in reason for words in ("unable to open database file", "readonly database"))


def _may_be_written(path: Path) -> bool:
    # Asked, not tried: a process that opens and closes a file loses all its locks on it, SQLite's too. Then
    # another one that closes its connection takes itself for the last, and clears the WAL away.
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


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
