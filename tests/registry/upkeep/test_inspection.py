"""Each kind of damage is seen, and told by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.vectors import Maker
from tests.registry.making import BACKBONE, ENCODER, execute, kinds, make_bundle, snapshot

ROWS = {
    "params": "UPDATE bundles SET params = 1",
    "licence": "UPDATE bundles SET licence = 'MIT'",
    "size": "UPDATE bundles SET size = size + 1",
    "seed": "UPDATE bundles SET seed = '9'",
    "parent": "UPDATE bundles SET parent = 'x'",
    "sources": "UPDATE sources SET name = 'other'",
    "source": "UPDATE sources SET source = 'hf:x'",
    "metrics": "DELETE FROM metrics",
    "files": "UPDATE files SET size = 3",
    "no files": "DELETE FROM files",
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_are_made_anew_from_the_bundles(registry: Registry, shapes: str, what: str) -> None:
    before = snapshot(registry)
    execute(registry, ROWS[what])
    assert kinds(registry) == {"row"}
    assert registry.verify(repair=True).ok
    after = snapshot(registry)
    assert (after["list"], after["files"], after["search"]) == (
        before["list"],
        before["files"],
        before["search"],
    )
    for table in ("sources", "metrics", "files", "aliases"):
        assert sorted(after["rows"][table]) == sorted(before["rows"][table])


def test_vectors_are_made_anew_from_the_sketches(registry: Registry, shapes: str) -> None:
    before = snapshot(registry)["search"]
    other = np.eye(128, dtype="<f4")[0].tobytes()
    short = np.eye(64, dtype="<f4")[0].tobytes()
    spoilt = [
        f"DELETE FROM vectors WHERE bundle = '{shapes}'",
        f"UPDATE vectors SET data = x'{other.hex()}'",
        f"UPDATE vectors SET data = x'{(np.ones(128, '<f4') * np.nan).tobytes().hex()}'",
        f"UPDATE vectors SET data = x'{np.ones(128, '<f4').tobytes().hex()}' WHERE bundle = '{shapes}'",
        f"INSERT INTO vectors (bundle, data) VALUES ('{shapes}', x'{other.hex()}')",
        f"UPDATE vectors SET data = x'{short.hex()}' WHERE bundle = '{shapes}'",
        "UPDATE bundles SET encoder = 'another' WHERE name = 'leaves'",
    ]
    for statement in spoilt:
        execute(registry, statement, "UPDATE state SET value = value + 1 WHERE key = 'revision'")
        assert {"vectors"} <= kinds(registry) <= {"vectors", "index"}, statement
        assert registry.verify(repair=True).ok
        assert registry.verify().problems == ()
        assert snapshot(registry)["search"] == before
    assert registry.maker == Maker(BACKBONE, ENCODER, 128)


def test_folders_that_the_catalog_does_not_list(registry: Registry, shapes: str, tmp_path: Path) -> None:
    aliases = registry.aliases.all()
    execute(
        registry,
        f"DELETE FROM vectors WHERE bundle = '{shapes}'",
        f"DELETE FROM bundles WHERE id = '{shapes}'",
    )
    make_bundle(registry.home / "bundles" / "stranger-00000000", seed=9, name="stranger")
    (registry.home / "bundles" / "notes.txt").write_text("mine")
    found = registry.verify()
    assert {(p.kind, p.where) for p in found.problems if p.kind == "unlisted"} == {
        ("unlisted", shapes), ("unlisted", "stranger-00000000"), ("unlisted", "notes.txt"),
    }  # fmt: skip
    assert registry.verify(repair=True).ok
    assert registry.verify().problems == ()
    assert registry.get(shapes).id == shapes
    assert registry.aliases.all() == aliases
    kept = sorted(path.name.rpartition("-")[0] for path in (registry.home / "quarantine").iterdir())
    assert kept == ["notes.txt", "stranger-00000000"]


def test_a_damaged_blob_that_nobody_links_to(registry: Registry) -> None:
    blob = next(registry._store.blobs.all())
    sha256 = blob.name
    stray = blob.with_name(sha256[:2] + "0" * 62)
    stray.write_bytes(b"what its name does not say")
    found = registry.verify()
    assert [(p.kind, p.where) for p in found.problems] == [("blob", stray.name)]
    assert registry.verify(repair=True).ok and not stray.exists()
    assert blob.exists()
