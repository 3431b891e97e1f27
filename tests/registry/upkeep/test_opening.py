"""Opening a home that an earlier snt-zoo made, or a newer one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from snt_zoo.errors import NewerRegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.store.store import Store
from tests.registry.earlier import FIRST, SECOND, dump


def test_files_of_an_earlier_registry_become_blobs(old: Path) -> None:
    registry = Registry.open(old)
    for record in registry.list():
        for path in record.path.iterdir():
            assert path.stat().st_nlink == 2
    assert len(list(registry.home.glob("blobs/sha256/??/*"))) == 10


def test_a_registry_whose_bundle_is_damaged_opens_all_the_same(old: Path) -> None:
    (old / "bundles" / FIRST / "config.json").write_text("damaged")
    shutil.rmtree(old / "bundles" / SECOND)
    registry = Registry.open(old)
    second, first = registry.list()
    assert first.sources == ("letters", "signs") and first.tags == ("tiny", "old")
    assert first.seed is None and first.val_accuracy == 0.75 and second.sources == ("shapes",)
    blobs = {path.name for path in registry.home.glob("blobs/sha256/??/*")}
    assert len(blobs) == 4  # the damaged file is not among them


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
    before = dump(path)
    monkeypatch.setattr(Store, "lock", None)
    with pytest.raises(NewerRegistryError, match=r"schema version 3.*upgrade snt-zoo.*SNT_ZOO_HOME"):
        Registry.open(registry.home)
    assert dump(path) == before
