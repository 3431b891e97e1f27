"""Registries of every earlier format open, keep what they held, and are copied first.

`formats/schema-N.zip` is a registry's home as the code wrote it when N was the newest schema: two
versions of `letters` (one with two sources and tags, one that names the other as its parent and was a
starter) and the memory of a starter that was removed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.errors import DamagedCatalogError, NewerRegistryError, RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog import migration
from snt_zoo.registry.catalog.tables import METADATA, SCHEMA_VERSION
from snt_zoo.registry.store.store import Store
from tests.registry.making import sketch, snapshot

FORMATS = Path(__file__).parent / "formats"
OLD = sorted(FORMATS.glob("schema-*.zip"))
MEANS = DatasetEncoder("means-v1", lambda sketch: sketch.means.mean(0))
FIRST, SECOND = "letters-b7024793", "letters-31be249e"


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home that an earlier snt-zoo wrote."""
    home = tmp_path / "home"
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(home)
    return home


def test_there_is_a_registry_of_every_earlier_schema() -> None:
    assert [path.stem for path in OLD] == [f"schema-{n}" for n in range(1, SCHEMA_VERSION)]


def test_an_earlier_registry_opens_with_all_that_it_held(old: Path) -> None:
    with closing(sqlite3.connect(old / "catalog.sqlite")) as connection:
        seeded = {row[0] for row in connection.execute("SELECT digest FROM seeded")}
    model = (old / "bundles" / FIRST / "model.safetensors").read_bytes()
    registry = Registry.open(old, encoder=MEANS)
    second, first = registry.list()
    assert (first.id, second.id) == (FIRST, SECOND)
    assert (first.tags, first.sources, first.licence) == (("tiny", "old"), ("letters", "signs"), "MIT")
    assert first.fingerprints == ("aaaa0000aaaa0000", "bbbb0000bbbb0000")
    assert (first.parent, first.seed, first.code_version) == (None, 0, "0.1.0")
    assert (second.parent, second.seed) == (FIRST, 5)
    assert first.size == sum(path.stat().st_size for path in first.path.iterdir())
    assert (first.val_accuracy, first.test_accuracy) == (0.75, None)
    assert registry.resolve("letters@latest") == SECOND
    assert registry.get(FIRST).id == FIRST
    assert (first.path / "model.safetensors").read_bytes() == model
    answers = registry.search(sketch(seed=1), 9)
    assert [id for id, _ in answers] == [FIRST, SECOND]
    assert registry._catalog.seeded() == seeded == {second.digest, *seeded} and len(seeded) == 2
    registry.remove(FIRST)
    assert registry.list() == [second]


def test_files_of_an_earlier_registry_become_blobs(old: Path) -> None:
    registry = Registry.open(old)
    for record in registry.list():
        for path in record.path.iterdir():
            assert path.stat().st_nlink == 2
    assert len(list(registry.home.glob("blobs/sha256/??/*"))) == 10


def test_a_copy_is_kept_and_the_second_opening_changes_nothing(old: Path) -> None:
    original = _dump(shutil.copy(old / "catalog.sqlite", old.parent))
    before = snapshot(Registry.open(old, encoder=MEANS))
    (copy,) = (old / "backups").iterdir()
    assert _dump(copy) == original
    assert snapshot(Registry.open(old, encoder=MEANS)) == before
    assert list((old / "backups").iterdir()) == [copy]


def test_a_registry_whose_bundle_is_damaged_opens_all_the_same(old: Path) -> None:
    (old / "bundles" / FIRST / "config.json").write_text("damaged")
    shutil.rmtree(old / "bundles" / SECOND)
    registry = Registry.open(old)
    second, first = registry.list()
    assert first.sources == ("letters", "signs") and first.tags == ("tiny", "old")
    assert first.seed is None and first.val_accuracy == 0.75 and second.sources == ("shapes",)
    blobs = {path.name for path in registry.home.glob("blobs/sha256/??/*")}
    assert len(blobs) == 4  # the damaged file is not among them


def test_a_failing_step_leaves_the_registry_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _dump(old / "catalog.sqlite")
    monkeypatch.setattr("alembic.command.upgrade", _fail)
    with pytest.raises(RegistryError, match=r"could not be brought to.*backups"):
        Registry.open(old)
    assert _dump(old / "catalog.sqlite") == before
    monkeypatch.undo()
    assert len(Registry.open(old).list()) == 2


def _fail(config: object, revision: object) -> None:
    connection = config.attributes["connection"]  # type: ignore[attr-defined]
    connection.exec_driver_sql("DROP TABLE vectors")
    raise RuntimeError("no")


def test_without_room_for_a_copy_nothing_is_changed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    before = _dump(old / "catalog.sqlite")
    monkeypatch.setattr(migration, "sync_folder", full)
    with pytest.raises(RegistryError, match="free some space"):
        Registry.open(old)
    assert _dump(old / "catalog.sqlite") == before


def _dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def test_the_steps_lead_to_the_tables(old: Path, tmp_path: Path) -> None:
    """alembic's own comparison, and the columns and foreign keys of both catalogs as SQLite tells them."""
    Registry.open(old)
    fresh = Registry.open(tmp_path / "fresh").home
    engine = sa.create_engine(f"sqlite:///{old / 'catalog.sqlite'}", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    seen = []
    for home in (old, fresh):
        with sqlite3.connect(home / "catalog.sqlite") as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = {t: sorted(r[1:] for r in db.execute(f"PRAGMA table_info({t})")) for t in tables}
            keys = {t: sorted(r[2:] for r in db.execute(f"PRAGMA foreign_key_list({t})")) for t in tables}
            indexes = {
                t: sorted(r[1:] for r in db.execute(f"PRAGMA index_list({t})") if r[3] == "c") for t in tables
            }
            versions = db.execute("SELECT version_num FROM alembic_version").fetchall()
            counted = [line for t in tables if (line := _sql(db, t)) and "AUTOINCREMENT" in line]
        db.close()
        assert versions == [(str(SCHEMA_VERSION),)]
        unordered = {t: sorted((c[0], c[1], c[2], c[3], c[4]) for c in cs) for t, cs in columns.items()}
        seen.append((sorted(tables), unordered, keys, indexes, len(counted)))
    assert seen[0] == seen[1]


def _sql(db: sqlite3.Connection, table: str) -> str | None:
    found: str | None = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_two_processes_open_an_earlier_registry_at_once(old: Path) -> None:
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                os._exit(len(Registry.open(old).list()))
            except BaseException:
                os._exit(99)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [2, 2]
    assert len(list((old / "backups").iterdir())) == 1


def test_alembic_is_imported_only_when_a_step_is_due(tmp_path: Path) -> None:
    code = (
        "import sys, snt_zoo.registry as r; r.Registry.open(sys.argv[1]); r.Registry.open(sys.argv[1]);"
        "print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_newer_registry_is_refused_untouched(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    path = registry.home / "catalog.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE state SET value = 3 WHERE key = 'schema_version'")
    connection.close()
    before = _dump(path)
    monkeypatch.setattr(Store, "lock", None)
    with pytest.raises(NewerRegistryError, match=r"schema version 3.*upgrade snt-zoo.*SNT_ZOO_HOME"):
        Registry.open(registry.home)
    assert _dump(path) == before


def test_a_damaged_catalog_is_told_from_other_failures(registry: Registry) -> None:
    path = registry.home / "catalog.sqlite"
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(DamagedCatalogError, match=r"catalog\.sqlite cannot be used.*verify --repair"):
        Registry.open(registry.home)
