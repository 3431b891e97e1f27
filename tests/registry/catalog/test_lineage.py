"""Parents and children."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry import Record, Registry
from tests.registry.making import config_data, make_bundle, network


def test_lineage_follows_parents_and_children(tmp_path: Path, registry: Registry) -> None:
    training = config_data(network())["training"]

    def add(name: str, parent: str | None, seed: int) -> Record:
        changed = {**training, "parent": parent, "seed": seed}
        return registry.add(make_bundle(tmp_path / name, seed=seed, name=name, training=changed))

    first = add("first", "gone-00000000", 2**64 - 1)
    second = add("second", first.id, -5)
    third = add("third", second.id, 3)
    found = registry.lineage(second.id)
    assert [(o.id, o.here) for o in found.ancestors] == [(first.id, True), ("gone-00000000", False)]
    assert [o.id for o in found.children] == [third.id]
    assert registry.show(first.id).seed == 2**64 - 1 and found.itself.seed == -5
    assert found.itself.sources == (("shapes", "0123456789abcdef"),)
    assert found.itself.code_version == "0.1.0"
    document = found.to_json()
    assert document["ancestors"][0]["id"] == first.id and document["children"][0]["id"] == third.id
    assert registry.lineage(registry.resolve("leaves")).ancestors == ()
    with pytest.raises(NotInRegistryError):
        registry.lineage("nobody")


def test_a_line_that_bites_its_tail_ends(registry: Registry) -> None:
    """A parent is its author's word, so two bundles may each name the other."""
    a, b = registry.list()
    import sqlite3

    with sqlite3.connect(registry.home / "catalog.sqlite") as connection:
        connection.execute("UPDATE bundles SET parent = ? WHERE id = ?", (b.id, a.id))
        connection.execute("UPDATE bundles SET parent = ? WHERE id = ?", (a.id, b.id))
    connection.close()
    assert [o.id for o in registry.lineage(a.id).ancestors] == [b.id]
