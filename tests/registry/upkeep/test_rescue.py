"""A catalog that cannot be read is made anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from snt_zoo.errors import DamagedCatalogError
from snt_zoo.registry import Registry
from tests.registry.making import snapshot


def test_a_lost_catalog_is_made_anew_with_what_it_alone_knew(registry: Registry, shapes: str) -> None:
    registry.set_limit(10**9)
    before = snapshot(registry)
    history = registry.aliases.history("shapes")
    path = registry.home / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bundles'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    raw = bytearray(path.read_bytes())
    raw[(root - 1) * size : root * size] = b"\xff" * size  # the page of the bundles' rows
    path.write_bytes(raw)
    with pytest.raises(DamagedCatalogError, match="verify --repair"):
        Registry.open(registry.home).list()

    again, found = Registry.rescue(registry.home)
    assert found.ok and [p.kind for p in found.problems] == ["catalog", "unlisted", "unlisted", "unlisted"]
    after = snapshot(again)
    assert (after["files"], after["search"]) == (before["files"], before["search"])
    assert [(r.id, r.tags, r.aliases) for r in after["list"]] == [
        (r.id, r.tags, r.aliases) for r in before["list"]
    ]
    assert again.aliases.history("shapes") == history
    assert again.usage().limit == 10**9
    assert again.verify().problems == ()


def test_a_catalog_that_is_no_database_is_made_anew_from_the_bundles(registry: Registry) -> None:
    before = snapshot(registry)
    for path in registry.home.glob("catalog.sqlite*"):
        path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(DamagedCatalogError):
        Registry.open(registry.home)
    again, found = Registry.rescue(registry.home)
    assert found.ok
    after = snapshot(again)
    for part in ("files", "folders", "search"):
        assert after[part] == before[part]
    assert [a.alias for a in again.aliases.all()] == ["latest", "latest"]
    assert len(list((registry.home / "quarantine").iterdir())) == 1
