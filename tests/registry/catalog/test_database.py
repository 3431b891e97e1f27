"""A file that is no database, and one that is damaged, are told from other failures."""

from __future__ import annotations

import sqlite3

import pytest

from snt_zoo.errors import DamagedCatalogError, RegistryError
from snt_zoo.registry import Registry


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
