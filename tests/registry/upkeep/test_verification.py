"""`verify` finds what is wrong, `--repair` mends what can be mended, and nothing is lost by either."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import DamagedCatalogError, MissingFileError, NotInRegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.vectors import Maker
from tests.registry.making import BACKBONE, ENCODER, make_bundle, sketch, snapshot


def kinds(registry: Registry, **changes: object) -> set[str]:
    return {problem.kind for problem in registry.verify(**changes).problems}  # type: ignore[arg-type]


def damage(path: Path) -> None:
    """Other bytes in the file itself, so in every link to it."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)


def swap(path: Path) -> None:
    """Other bytes under the file's name alone: its blob stays good."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()
    path.write_bytes(raw)


def execute(registry: Registry, *statements: str) -> None:
    with closing(sqlite3.connect(registry.home / "catalog.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def shapes(good: Path, registry: Registry) -> str:
    """Id of a third bundle in the registry, with tags and an alias."""
    id = registry.add(good, tags=["mine"]).id
    registry.aliases.move("best", id, by="ann", why="it is")
    return id


def test_a_good_registry_has_no_problems(registry: Registry, shapes: str) -> None:
    before = snapshot(registry)
    seen: list[tuple[int, int]] = []
    found = registry.verify(on_bundle=lambda done, all: seen.append((done, all)))
    assert (found.ok, found.bundles, found.problems) == (True, 3, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.to_json() == {"ok": True, "bundles": 3, "problems": []}
    assert registry.verify(shapes).bundles == 1
    assert registry.verify(repair=True).problems == ()
    assert snapshot(registry) == before
    with pytest.raises(NotInRegistryError):
        registry.verify("nobody")


@pytest.mark.parametrize(
    "name", ["README.md", "config.json", "dataset.safetensors", "manifest.json", "model.safetensors"]
)
@pytest.mark.parametrize("how", [swap, Path.unlink, damage])
def test_a_damaged_file_is_taken_from_its_blob_or_the_bundle_set_aside(
    registry: Registry, shapes: str, name: str, how: Callable[[Path], None]
) -> None:
    record = registry.show(shapes)
    raw = (record.path / name).read_bytes()
    how(record.path / name)
    found = registry.verify()
    assert not found.ok and {p.where for p in found.problems if p.kind == "files"} == {shapes}
    assert [r.id for r in registry.list()] == sorted(r.id for r in registry.list())  # nothing was changed
    mended = registry.verify(repair=True)
    assert mended.ok and all(problem.repaired for problem in mended.problems)
    assert registry.verify().problems == ()
    if how is damage:  # nowhere is a good one
        assert shapes not in [r.id for r in registry.list()]
        (kept,) = (registry.home / "quarantine").iterdir()
        assert kept.name.startswith(shapes)
        assert registry.aliases.history("shapes", "best")[-1].why == f"{shapes} was removed"
        assert not registry._store.blobs.path(hashlib.sha256(raw).hexdigest()).exists()
    else:
        assert (record.path / name).read_bytes() == raw
        assert registry.show(shapes) == record and registry.get(shapes).digest == record.digest


def test_a_folder_that_is_gone_is_put_together_from_blobs(registry: Registry, shapes: str) -> None:
    before = snapshot(registry)
    shutil.rmtree(registry.show(shapes).path)
    with pytest.raises(MissingFileError):
        registry.get(shapes)
    assert kinds(registry) == {"files"}
    assert registry.verify(shapes, repair=True).ok
    after = snapshot(registry)
    for part in ("files", "rows", "list", "search"):
        assert after[part] == before[part]


def test_a_folder_that_is_gone_with_its_blobs_loses_its_row_alone(registry: Registry, shapes: str) -> None:
    shutil.rmtree(registry.show(shapes).path)
    shutil.rmtree(registry.home / "blobs")
    assert registry.verify(repair=True).ok
    assert sorted(r.name for r in registry.list()) == ["leaves", "letters"]
    assert registry.verify().problems == ()
    assert [m.why for m in registry.aliases.history("shapes")][-1] == f"{shapes} was removed"


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


def test_an_unlisted_bundle_of_another_backbone_is_not_listed(registry: Registry) -> None:
    other = make_bundle(
        registry.home / "bundles" / "x", backbone="big/p", sketches=[sketch(backbone="big/p")], name="other"
    )
    from snt_zoo.registry import read_bundle

    other.rename(other.with_name(read_bundle(other).id))
    found = registry.verify(repair=True)
    assert [problem.kind for problem in found.problems] == ["unlisted"] and not found.ok
    assert len(registry.list()) == 2


def test_a_damaged_blob_that_nobody_links_to(registry: Registry) -> None:
    blob = next(registry._store.blobs.all())
    sha256 = blob.name
    stray = blob.with_name(sha256[:2] + "0" * 62)
    stray.write_bytes(b"what its name does not say")
    found = registry.verify()
    assert [(p.kind, p.where) for p in found.problems] == [("blob", stray.name)]
    assert registry.verify(repair=True).ok and not stray.exists()
    assert blob.exists()


def test_rows_that_belong_to_nothing(registry: Registry) -> None:
    execute(registry, "INSERT INTO tags VALUES ('nobody-00000000', 'x')")
    found = registry.verify()
    assert [p.kind for p in found.problems] == ["catalog"]
    assert registry.verify(repair=True).ok
    assert registry.verify().problems == ()


def test_what_is_under_way_is_no_problem(good: Path, registry: Registry) -> None:
    """A look without the lock may see another process's add half done; then it looks again."""
    seen = []

    def look(one: Sketch) -> torch.Tensor:
        # Within an add: its copy is in incoming/, and nothing is listed yet.
        seen.append(Registry.open(registry.home).verify().problems)
        return MOMENTS.embed(one)

    Registry.open(registry.home, encoder=replace(MOMENTS, embed=look)).add(good)
    assert seen == [()]


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
