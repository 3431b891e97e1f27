"""A query reads the rows of its shortlist, and nothing else of the catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.encoders.target import Target
from snt_zoo.errors import NoMatchError, SntZooWarning
from snt_zoo.registry import Record, Registry, retrieval
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.lookup import Lookup
from snt_zoo.registry.retrieval import retrieve
from tests.registry.making import generalist, make_bundle, sketch


@pytest.fixture
def shelf(tmp_path: Path) -> Registry:
    registry = Registry.open(tmp_path / "home")
    for seed in range(6):
        tags = ["even"] if seed % 2 == 0 else ["odd"]
        folder = make_bundle(tmp_path / str(seed), seed=seed, name=f"n{seed}", tags=tags)
        registry.add(folder)
    return registry


def test_a_query_reads_the_rows_of_its_shortlist(shelf: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "SHORTLIST", 2)
    read: list[str] = []

    def select(self: Lookup, where: Filter) -> Any:
        raise AssertionError("the whole catalog was read")

    original = Lookup.get_all

    def get_all(self: Lookup, ids: Sequence[str]) -> dict[str, Record]:
        read.extend(ids)
        return original(self, ids)

    monkeypatch.setattr(Lookup, "select", select)
    monkeypatch.setattr(Lookup, "get_all", get_all)
    found = retrieve(shelf, Target(sketch(seed=3)), k=1)
    assert found[0].id.startswith("n3-") and len(read) == 2
    read.clear()
    found = retrieve(shelf, Target(sketch(seed=3)), k=3, where=Filter(tag="even", exclude=("n0",)))
    assert {match.id.split("-")[0] for match in found} == {"n2", "n4"} == {id.split("-")[0] for id in read}


def test_constraints_that_nothing_meets_are_told_from_an_empty_registry(
    shelf: Registry, tmp_path: Path
) -> None:
    with pytest.raises(NoMatchError, match="none of the 6 supernets"):
        retrieve(shelf, Target(sketch()), k=1, where=Filter(max_params=1))
    with pytest.raises(NoMatchError, match="holds no supernet"):
        retrieve(Registry.open(tmp_path / "empty"), Target(sketch()), k=1)


def test_what_is_removed_while_a_query_runs_is_left_out(
    shelf: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = retrieve(shelf, Target(sketch(seed=3)), k=1)[0].id
    original = Registry.records

    def records(self: Registry, ids: Sequence[str]) -> dict[str, Record]:
        found = original(self, ids)
        if nearest in found:
            shelf.remove(nearest)
        return found

    monkeypatch.setattr(Registry, "records", records)
    assert nearest not in {match.id for match in retrieve(shelf, Target(sketch(seed=3)), k=6)}


def test_of_equally_near_supernets_the_most_accurate_comes_first(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    for name, accuracy in [("a", None), ("b", 0.4), ("c", 0.8), ("d", 0.6)]:
        metrics = {"val_accuracy": accuracy, "test_accuracy": None, "seconds_per_image": 0.5}
        folder = make_bundle(tmp_path / name, name=name, metrics=metrics)
        registry.add(folder)
    found = retrieve(registry, Target(sketch(seed=1)), k=4)
    assert len({match.distance for match in found}) == 1
    assert [match.id[0] for match in found] == ["c", "d", "b", "a"]


def test_it_is_found_by_each_source_but_after_that_sources_own_supernet(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    alone = make_bundle(tmp_path / "alone", name="z-alone", sketches=[sketch(seed=0, name="d0")])
    for folder in (generalist(tmp_path / "all", name="a-generalist"), alone):
        registry.add(folder)
    found = retrieve(registry, Target(sketch(seed=0)), k=2)
    assert [match.id.rsplit("-", 1)[0] for match in found] == ["z-alone", "a-generalist"]
    assert found[0].distance == found[1].distance
    found = retrieve(registry, Target(sketch(seed=1, classes=4)), k=1)
    assert found[0].id.startswith("a-generalist")
    assert {pair.source for pair in found[0].class_matches} == {"d1"}


def _rewrite(path: Path, content: bytes) -> None:
    path.unlink()  # the blob stays as it is
    path.write_bytes(content)


_SPOILT = {
    "a file of a file manager": lambda folder: (folder / ".DS_Store").touch(),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "another config": lambda folder: _rewrite(folder / "config.json", b"{}"),
    "sketches cut off": lambda folder: _rewrite(folder / "dataset.safetensors", b"\x00" * 9),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a manifest that is no JSON": lambda folder: _rewrite(folder / "manifest.json", b"\xff\xfe"),
    "no folder": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "a file in its place": lambda folder: (folder.rename(folder.with_name("x")), folder.touch()),
    "a link that leads nowhere": lambda folder: (
        folder.rename(folder.with_name("x")),
        folder.symlink_to("y"),
    ),
    "a link in a loop": lambda folder: (folder.rename(folder.with_name("x")), folder.symlink_to(folder)),
    "a folder for a file": lambda folder: ((folder / "README.md").unlink(), (folder / "README.md").mkdir()),
}


@pytest.mark.parametrize("how", _SPOILT)
def test_one_spoilt_bundle_is_left_out(shelf: Registry, how: str) -> None:
    (first,) = retrieve(shelf, Target(sketch(seed=3)), k=1)
    _SPOILT[how](shelf.show(first.id).path)
    with pytest.warns(SntZooWarning, match=f"left out {first.id}: "):
        found = retrieve(shelf, Target(sketch(seed=3)), k=9)
    assert len(found) == 5 and first.id not in {match.id for match in found}
    assert len(shelf.list()) == 6  # it is still listed: `verify --repair` mends it


def test_if_all_are_spoilt_the_query_says_so(shelf: Registry) -> None:
    for record in shelf.list():
        (record.path / ".DS_Store").touch()
    with pytest.warns(SntZooWarning), pytest.raises(NoMatchError, match=r"none of the 6 nearest .*verify"):
        retrieve(shelf, Target(sketch()), k=1)


def test_an_edited_row_is_left_out(shelf: Registry) -> None:
    id = shelf.list()[0].id
    with closing(sqlite3.connect(shelf.home / "catalog.sqlite")) as connection, connection:
        for table, column in (("vectors", "bundle"), ("bundles", "id")):
            connection.execute(f"UPDATE {table} SET {column} = '../../etc' WHERE {column} = ?", (id,))
    with pytest.warns(SntZooWarning, match=r"left out '\.\./\.\./etc'"):
        assert len(retrieve(shelf, Target(sketch()), k=9)) == 5
