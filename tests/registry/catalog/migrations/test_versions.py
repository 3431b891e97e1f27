"""What each step keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.tables import SCHEMA_VERSION
from tests.registry.earlier import FIRST, MEANS, OLD, SECOND
from tests.registry.making import sketch


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
