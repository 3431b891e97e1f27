from __future__ import annotations

import contextlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch

from benchmarks.limits import read_only
from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.encoders.target import Target
from snt_zoo.errors import NotInRegistryError, ReadOnlyRegistryError, RegistryError
from snt_zoo.registry import Registry, read_bundle
from snt_zoo.registry.catalog.vectors import Maker
from snt_zoo.registry.retrieval import retrieve
from tests.registry.making import BACKBONE, copy_home, generalist, make_bundle, sketch, snapshot


def test_add_show_get_sketches_remove(good: Path, registry: Registry) -> None:
    before = {p.name: p.read_bytes() for p in good.iterdir()}
    record = registry.add(good)
    bundle = read_bundle(good)

    assert registry.show(record.id) == record
    assert {p.name: p.read_bytes() for p in record.path.iterdir()} == before
    assert record.path == registry.home / "bundles" / record.id
    assert record.config == bundle.config
    assert record.class_names == ("class 0", "class 1", "class 2")
    assert (record.sources, record.tags, record.licence) == (("shapes",), ("tiny",), "Apache-2.0")
    assert (record.params, record.macs, record.supernet_params) == (
        bundle.config.params,
        bundle.config.macs,
        bundle.config.supernet_params,
    )
    assert (record.val_accuracy, record.test_accuracy) == (0.75, None)
    assert (record.digest, record.space) == (bundle.digest, "nas_bench_201")
    assert record.added_at.endswith("+00:00")
    with pytest.raises(FrozenInstanceError):
        record.name = "x"  # type: ignore[misc]

    got = registry.get(record.id)
    state = bundle.supernet.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in got.supernet.state_dict().items())
    assert [s.to_meta() for s in registry.sketches(record.id)] == [s.to_meta() for s in bundle.sketches]

    registry.remove(record.id)
    assert not record.path.exists()
    assert record.id not in [r.id for r in registry.list()]
    for call in (registry.show, registry.get, registry.sketches, registry.remove):
        with pytest.raises(NotInRegistryError):
            call(record.id)
    assert {p.name: p.read_bytes() for p in good.iterdir()} == before
    assert registry.add(good).id == record.id


def test_home_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNT_ZOO_HOME", str(tmp_path / "there"))
    assert Registry.open().home == tmp_path / "there"
    assert Registry.open(tmp_path / "here").home == tmp_path / "here"
    monkeypatch.delenv("SNT_ZOO_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in Registry.open().home.parents
    assert "snt-zoo" in Registry.open().home.parts
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match="SNT_ZOO_HOME"):
        Registry.open(tmp_path / "file")


def test_an_empty_registry(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home with spaces, ü and %")
    assert registry.list() == []
    assert registry.maker is None
    assert registry.search(sketch(), 5) == []
    assert registry.rebuild_index() == 0 == registry.rebuild_index(from_bundles=True)
    with pytest.raises(NotInRegistryError, match="snt-zoo list"):
        registry.resolve("x")


def test_rebuilding_with_another_encoder(tmp_path: Path, registry: Registry) -> None:
    records = registry.list()
    registry = Registry.open(registry.home, encoder=DatasetEncoder("other", lambda s: s.means.std(0)[:32]))
    assert registry.rebuild_index(from_bundles=True) == 2
    assert registry.maker == Maker(BACKBONE, "other", 32)
    assert [(r.id, r.added_at) for r in registry.list()] == [(r.id, r.added_at) for r in records]
    record = registry.add(make_bundle(tmp_path / "b"))
    answers = registry.search(sketch(), 1)
    assert answers[0][0] == record.id and answers[0][1] == pytest.approx(1.0, abs=1e-6)


def test_the_catalog_is_rebuilt_from_the_store(starters: list[Path], registry: Registry) -> None:
    registry.seed(starters)
    before = snapshot(registry)
    for path in registry.home.glob("catalog.sqlite*"):
        path.unlink()
    again = Registry.open(registry.home)
    assert again.list() == []
    assert sorted(again._store.ids()) == before["folders"]  # opening deletes nothing
    assert again.rebuild_index(from_bundles=True) == 5
    after = snapshot(again)
    assert (after["files"], after["search"]) == (before["files"], before["search"])
    assert [r.id for r in after["list"]] == [r.id for r in before["list"]]


@pytest.mark.parametrize("variables", [{}, {"HOME": None}])
def test_a_user_without_a_home_is_told_which_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None]
) -> None:
    for name in ("SNT_ZOO_HOME", "XDG_DATA_HOME", *variables):
        monkeypatch.delenv(name, raising=False)

    def nobody(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(RegistryError, match=r"no place for the registry .*: set SNT_ZOO_HOME"):
        Registry.open()


def test_a_home_that_cannot_be_made_is_told_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir()
    with pytest.raises(RegistryError, match="set SNT_ZOO_HOME"):
        Registry.open(tmp_path / "file" / "home")
    with read_only(tmp_path / "closed"):
        for home in (tmp_path / "closed", tmp_path / "closed" / "home"):
            with pytest.raises(ReadOnlyRegistryError, match="set SNT_ZOO_HOME"):
                Registry.open(home)


@pytest.mark.parametrize("left", [False, True], ids=["closed", "left with a WAL"])
@pytest.mark.parametrize("missing", [(), ("incoming", "lock"), ("index",)])
def test_a_registry_that_may_only_be_read(
    registry: Registry, shapes: str, good: Path, tmp_path: Path, left: bool, missing: tuple[str, ...]
) -> None:
    before, nearest = registry.list(), registry.search(sketch(), 9)
    home = registry.home
    if left:  # as of a process that was killed: the last change is in the WAL alone
        with closing(sqlite3.connect(home / "catalog.sqlite")) as connection:
            connection.execute("INSERT INTO tags VALUES (?, 'late')", (shapes,))
            connection.commit()
            home = copy_home(home, tmp_path / "copy")
            assert (home / "catalog.sqlite-wal").stat().st_size
        (home / "catalog.sqlite-shm").unlink()
    for name in missing:
        path = home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with read_only(home):
        again = Registry.open(home)
        assert [r.id for r in again.list()] == [r.id for r in before]
        assert ("late" in again.show(shapes).tags) == left
        assert again.get(shapes).id == shapes and again.sketches(shapes) and again.show(shapes).config
        assert again.search(sketch(), 9) == nearest
        assert len(retrieve(again, Target(sketch()), k=9)) == 3
        assert again.verify().problems == () and again.usage().bytes and again.lineage(shapes)
        for change in (
            lambda: again.remove(shapes), lambda: again.tag(shapes, add=["x"]),
            lambda: again.set_limit(10**9),
            lambda: again.add(good), lambda: again.verify(repair=True) if left else again.gc(),
        ):  # fmt: skip
            with contextlib.suppress(ReadOnlyRegistryError):
                change()
                assert left  # nothing was to be repaired
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == files
    again.tag(shapes, add=["x"])  # as soon as it may be
    assert "x" in Registry.open(home).show(shapes).tags


def test_an_index_that_may_not_be_written_stays_in_memory(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = registry.search(sketch(), 9)
    monkeypatch.setattr("snt_zoo.registry.index.index_upkeep.RECENT_LIMIT", 0)
    with read_only(registry.home):
        assert Registry.open(registry.home).search(sketch(), 9) == nearest


def test_what_is_wrong_with_a_registry_that_may_only_be_read_is_told(registry: Registry, shapes: str) -> None:
    (registry.show(shapes).path / ".DS_Store").touch()
    with read_only(registry.home):
        again = Registry.open(registry.home)
        assert {problem.where for problem in again.verify().problems} == {shapes}
        with pytest.raises(ReadOnlyRegistryError):
            again.verify(repair=True)


def test_vectors_are_those_that_a_search_compares(registry: Registry, tmp_path: Path) -> None:
    ids = [record.id for record in registry.list()]
    general = registry.add(generalist(tmp_path / "general", name="general")).id
    vectors = registry.vectors([*ids, general, "no-such"])
    assert {id: len(rows) for id, rows in vectors.items()} == {**dict.fromkeys(ids, 1), general: 2}
    query = sketch(seed=9)
    embedded = registry.embed(query)
    best = {id: float((rows @ embedded).max()) for id, rows in vectors.items()}
    assert dict(registry.search(query, 3)) == pytest.approx(best)


def test_every_change_counts_the_revision_up(registry: Registry, good: Path) -> None:
    seen = [registry.revision()]
    id = registry.add(good).id
    seen.append(registry.revision())
    registry.remove(id)
    seen.append(registry.revision())
    assert seen == sorted(set(seen))
    registry.list()
    assert registry.revision() == seen[-1]
