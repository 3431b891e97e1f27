"""What is still good is used, and nothing is lost by a repair."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snt_zoo.errors import MissingFileError
from snt_zoo.registry import Registry
from tests.registry.making import damage, execute, kinds, make_bundle, sketch, snapshot, swap


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


def test_a_folder_that_is_gone_with_its_blobs_loses_its_row_alone(registry: Registry, shapes: str) -> None:
    shutil.rmtree(registry.show(shapes).path)
    shutil.rmtree(registry.home / "blobs")
    assert registry.verify(repair=True).ok
    assert sorted(r.name for r in registry.list()) == ["leaves", "letters"]
    assert registry.verify().problems == ()
    assert [m.why for m in registry.aliases.history("shapes")][-1] == f"{shapes} was removed"


def test_an_unlisted_bundle_of_another_backbone_is_not_listed(registry: Registry) -> None:
    other = make_bundle(
        registry.home / "bundles" / "x", backbone="big/p", sketches=[sketch(backbone="big/p")], name="other"
    )
    from snt_zoo.registry import read_bundle

    other.rename(other.with_name(read_bundle(other).id))
    found = registry.verify(repair=True)
    assert [problem.kind for problem in found.problems] == ["unlisted"] and not found.ok
    assert len(registry.list()) == 2


def test_rows_that_belong_to_nothing(registry: Registry) -> None:
    execute(registry, "INSERT INTO tags VALUES ('nobody-00000000', 'x')")
    found = registry.verify()
    assert [p.kind for p in found.problems] == ["catalog"]
    assert registry.verify(repair=True).ok
    assert registry.verify().problems == ()


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


STRANGE_IDS = [
    "../../precious", "..", ".", "/nowhere", "shapes", "shapes-0123", "shapes-0123abcd/..", "a\x00-01234567",
    "..-01234567", "SHAPES-01234567", "", "shapes-01234567\n",
]  # fmt: skip


@pytest.mark.parametrize("id", STRANGE_IDS)
def test_a_row_with_an_edited_id_leads_nowhere(
    registry: Registry, shapes: str, tmp_path: Path, id: str
) -> None:
    """With `../../precious` in the place of an id, `verify --repair` took away a folder outside the home."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    before = {path: path.read_bytes() for path in registry.home.rglob("*") if path.is_file()}
    with closing(sqlite3.connect(registry.home / "catalog.sqlite")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for table, column in (("bundles", "id"), ("vectors", "bundle"), ("files", "bundle")):
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (id, shapes))
    assert sorted(record.name for record in registry.list()) == ["leaves", "letters"]
    assert len(registry.search(sketch(), 9)) == 3 and shapes not in registry.records([id])
    registry.gc()
    found = registry.verify(repair=True)
    assert found.ok and "row" in {problem.kind for problem in found.problems}
    assert registry.verify().problems == ()
    assert (precious / "thesis.txt").read_text() == "years of work"
    assert registry.show(shapes).id == shapes  # its folder was listed anew
    gone = [path for path in before if not path.exists() and "sqlite" not in path.name]
    assert gone == []


@pytest.mark.parametrize("name", [".DS_Store", "notes.txt", "._config.json", "photos", "link"])
def test_a_repair_deletes_no_file_of_the_user(
    registry: Registry, shapes: str, tmp_path: Path, name: str
) -> None:
    folder = registry.show(shapes).path
    (tmp_path / "elsewhere").mkdir()
    if name == "photos":
        (folder / name).mkdir()
        (folder / name / "cat.png").write_bytes(b"mine")
    elif name == "link":
        (folder / name).symlink_to(tmp_path / "elsewhere")
    else:
        (folder / name).write_bytes(b"mine")
    assert registry.verify(repair=True).ok and registry.verify().problems == ()
    assert registry.get(shapes).id == shapes
    (kept,) = (registry.home / "quarantine").iterdir()
    assert os.path.lexists(kept / name) and (tmp_path / "elsewhere").is_dir()


def test_a_removal_deletes_no_file_of_the_user(registry: Registry, shapes: str) -> None:
    (registry.show(shapes).path / "notes.txt").write_text("mine")
    registry.remove(shapes)
    assert shapes not in registry._store.ids()
    (kept,) = (registry.home / "quarantine").iterdir()
    assert (kept / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("name", "sha256"), [("../../evil.json", None), ("config.json", "../../../evil")])
def test_rows_of_files_lead_nowhere_either(
    registry: Registry, shapes: str, tmp_path: Path, name: str, sha256: str | None
) -> None:
    where = "bundle = ? AND name = 'config.json'"
    with closing(sqlite3.connect(registry.home / "catalog.sqlite")) as connection, connection:
        connection.execute(f"UPDATE files SET name = ? WHERE {where}", (name, shapes))
        if sha256 is not None:
            connection.execute(f"UPDATE files SET sha256 = ? WHERE {where}", (sha256, shapes))
    swap(registry.show(shapes).path / "config.json")
    before = sorted(tmp_path.rglob("evil*"))
    registry.verify(repair=True)
    assert registry.verify().problems == ()
    assert sorted(tmp_path.rglob("evil*")) == before
