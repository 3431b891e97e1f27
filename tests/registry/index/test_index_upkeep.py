"""The index keeps up with the catalog: whatever is added and removed, by whomever, in whatever order.

The limits are made small, so that the paths of millions of vectors run on a few hundred.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.errors import IndexMismatchError
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.rows import Listing
from snt_zoo.registry.catalog.tables import BUNDLES
from snt_zoo.registry.catalog.vectors import Maker, Vectors
from snt_zoo.registry.index import index_file
from snt_zoo.registry.index import index_upkeep as upkeep
from snt_zoo.registry.index.base_index import ids_in, lists_of
from snt_zoo.registry.index.index_file import IndexFile
from snt_zoo.registry.index.nearest import NearestBundles
from tests.registry.making import BACKBONE, ENCODER
from tests.registry.vectors import DIM, MAKER, brute_force, make_catalog, record, unit_rows

RECENT, FLAT, LISTS = 8, 30, 4
QUERIES = unit_rows(np.random.default_rng(99), 3)


@pytest.fixture(autouse=True)
def small_limits() -> Iterator[None]:
    """Eight recent vectors, flat up to thirty, then four lists, of which all are probed: exact."""

    def probe_all(base: Any, _: Any) -> None:
        if lists_of(base):
            base.nprobe = lists_of(base)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "RECENT_LIMIT", RECENT)
        patch.setattr(upkeep, "_FAR", 3 * RECENT)
        patch.setattr(upkeep, "lists_for", lambda count: 0 if count <= FLAT else LISTS)
        patch.setattr(upkeep, "calibrate", probe_all)
        yield


class Pair:
    """A catalog, what it should hold, and changes to both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = make_catalog(folder / "catalog.sqlite")
        self.held: dict[str, Vectors] = {}
        self.rng = np.random.default_rng(0)
        self.number = 0

    def open(self) -> NearestBundles:
        return NearestBundles(self.catalog.database, self.folder / "index")

    def add(self, bundles: int = 1, *, sketches: int = 1) -> None:
        for _ in range(bundles):
            rows = unit_rows(self.rng, sketches)
            self.catalog.insert(record(self.number), rows)
            self.held[record(self.number).id] = rows
            self.number += 1

    def remove(self, bundles: int = 1) -> None:
        for id in self.rng.permutation(sorted(self.held))[:bundles].tolist():
            self.catalog.delete(id)
            del self.held[id]

    def check(self, nearest: NearestBundles, *, k: int = 7) -> None:
        """Answers are the brute force's, also among the bundles that are chosen in SQL."""
        for query in QUERIES:
            for bound in (None, self.number // 2, 2):
                allowed = {id for id in self.held if bound is None or int(id[1:5]) <= bound}
                where = [] if bound is None else [BUNDLES.c.params <= bound]
                found = nearest.search(query, k, maker=MAKER, where=where)
                expected = brute_force(self.held, query, k, allowed)
                assert [id for id, _ in found] == [id for id, _ in expected]
                np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)
        assert nearest.problems() == []

    def file(self) -> tuple[int, int] | None:
        """Vectors and lists of the index file."""
        label = self.folder / "index" / "index.json"
        if not label.exists():
            return None
        found = IndexFile(self.folder / "index")._label()
        assert found is not None
        read = upkeep.faiss.read_index(str(self.folder / "index" / found.data))
        return read.ntotal, lists_of(read)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([1, 3, 9, 20]), st.sampled_from([1, 1, 4])),
    st.tuples(st.just("remove"), st.sampled_from([1, 5, 20]), st.just(0)),
    st.tuples(st.sampled_from(["search", "open", "rebuild"]), st.just(0), st.just(0)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=12))
def test_any_changes_in_any_order_equal_the_brute_force(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    pair = Pair(tmp_path_factory.mktemp("steps"))
    mine, other = pair.open(), pair.open()
    for what, amount, sketches in steps:
        if what == "add":
            pair.add(amount, sketches=sketches)
        elif what == "remove":
            pair.remove(amount)
        elif what == "search":
            pair.check(mine)
        elif what == "open":
            other = pair.open()
        else:
            assert mine.rebuild() == sum(map(len, pair.held.values()))
    pair.check(mine)
    pair.check(other)
    pair.check(pair.open())


def test_a_registry_grows_from_memory_to_flat_to_lists(pair: Pair) -> None:
    nearest = pair.open()
    pair.check(nearest)
    pair.add(RECENT)
    pair.check(nearest)
    assert pair.file() is None
    pair.add()
    pair.check(nearest)
    assert pair.file() == (RECENT + 1, 0)
    pair.add(RECENT)  # these stay in memory
    pair.check(nearest)
    assert pair.file() == (RECENT + 1, 0)
    pair.add(FLAT)
    pair.check(nearest)
    assert pair.file() == (pair.number, LISTS)
    pair.remove(pair.number - FLAT // 2)
    pair.check(nearest)
    assert pair.file() == (FLAT // 2, 0)
    pair.remove(FLAT // 2 - 3)
    pair.check(nearest)
    assert pair.file() is None
    pair.remove(3)
    pair.check(nearest)


def test_the_file_is_read_and_only_what_is_new_is_added(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.add(40)
    pair.check(pair.open())
    written = sorted((pair.folder / "index").iterdir())
    monkeypatch.setattr(upkeep, "make_base", lambda *_: pytest.fail("built from nothing"))
    pair.add(3)
    pair.remove(3)
    pair.check(pair.open())
    assert sorted((pair.folder / "index").iterdir()) == written
    pair.add(RECENT)
    pair.remove(1)
    nearest = pair.open()
    pair.check(nearest)
    ids = ids_in(nearest._upkeep._held.index.base)  # type: ignore[union-attr,arg-type]
    assert sorted((pair.folder / "index").iterdir()) != written
    with pair.catalog.read() as connection:
        assert sorted(ids.tolist()) == upkeep.rows.matching(connection).tolist()  # the removed are out


def test_a_damaged_file_is_built_anew(pair: Pair) -> None:
    pair.add(40)
    pair.check(pair.open())
    (data,) = (pair.folder / "index").glob("*.faiss")
    os.truncate(data, 500)
    assert "changed or damaged" in pair.open().problems()[0]
    pair.check(pair.open())  # which found no problem any more
    assert pair.file() == (40, LISTS)


def test_an_index_that_lies_is_found_and_rebuilt(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole by its sum, of this catalog by its label: only the vectors themselves tell."""
    pair.add(40)
    original = upkeep._built
    for wrong, words in ((1, "has another vector"), (0, "lacks 10 vectors")):

        def build(connection: Any, maker: Maker, lists: int, *, wrong: int = wrong) -> Any:
            base = original(connection, maker, lists)
            ids = ids_in(base)[:30].copy() if wrong else ids_in(base)[:10].copy()
            base.remove_ids(ids)
            if wrong:
                base.add_with_ids(unit_rows(np.random.default_rng(1), 30), ids)
            return base

        with monkeypatch.context() as patch:
            patch.setattr(upkeep, "_built", build)
            pair.open().rebuild()
        nearest = pair.open()
        assert words in nearest.problems()[0]
        assert nearest.rebuild() == 40
        pair.check(nearest)


def test_the_index_of_another_catalog_is_not_used(pair: Pair, tmp_path: Path) -> None:
    """Its ids are the same, its vectors are not."""
    pair.add(40)
    pair.check(pair.open())
    (tmp_path / "b").mkdir()
    other = Pair(tmp_path / "b")
    other.rng = np.random.default_rng(5)
    other.add(40)
    shutil.copytree(pair.folder / "index", other.folder / "index")
    assert "another catalog" in other.open().problems()[0]
    other.check(other.open())
    # Nor, where the catalog was put back from a copy, is the one that was made since.
    copy = other.folder / "copy.sqlite"
    shutil.copy(other.catalog.path, copy)
    other.add(RECENT + 1)
    other.check(other.open())
    shutil.copy(copy, other.catalog.path)
    for name in ("-wal", "-shm"):
        other.catalog.path.with_name(other.catalog.path.name + name).unlink(missing_ok=True)
    other.held = {id: rows for id, rows in other.held.items() if int(id[1:5]) < 40}
    other.check(other.open())


def test_vectors_of_another_encoder_are_never_compared(pair: Pair) -> None:
    pair.add(40)
    nearest = pair.open()
    pair.check(nearest)
    for other in (Maker("x", ENCODER, DIM), Maker(BACKBONE, "x", DIM)):
        with pytest.raises(IndexMismatchError, match=r"rebuild_index|--backbone"):
            nearest.search(QUERIES[0], 1, maker=other)
    # All are made anew by another encoder, of another dimension, under new ids.
    rows = {f"b{n:04}-00000000": unit_rows(pair.rng, 1, DIM + 1) for n in range(12)}
    entries = [Listing(record(n, encoder="new"), own) for n, own in enumerate(rows.values())]
    pair.catalog.replace(entries)
    query = unit_rows(pair.rng, 1, DIM + 1)[0]
    with pytest.raises(IndexMismatchError, match="rebuild_index"):
        nearest.search(QUERIES[0], 1, maker=MAKER)
    for searcher in (nearest, pair.open()):
        found = searcher.search(query, 9, maker=Maker(BACKBONE, "new", DIM + 1))
        assert [id for id, _ in found] == [id for id, _ in brute_force(rows, query, 9)]


def test_a_folder_that_cannot_be_written_costs_no_answer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    pair.add(40)
    nearest = pair.open()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        patch.setattr(index_file.faiss, "write_index", refuse)
        pair.check(nearest)
        assert not (pair.folder / "index").exists()
        built = nearest._upkeep._held
        pair.add(3)
        pair.check(nearest)
        assert nearest._upkeep._held.index.base is built.index.base  # type: ignore[union-attr]
    pair.add(RECENT)
    pair.check(nearest)
    assert pair.file() == (pair.number, LISTS)


def test_who_finds_another_process_writing_goes_on(pair: Pair) -> None:
    """With what is new in memory, unless that is very much."""
    pair.add(40)
    pair.check(pair.open())
    before = pair.file()
    pair.add(2 * RECENT)
    file = IndexFile(pair.folder / "index")
    with file.lock(wait=True):
        pair.check(pair.open())
        assert pair.file() == before
        pair.add(2 * RECENT)
        waiting = threading.Thread(target=lambda: pair.check(pair.open()))
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert pair.file() == (pair.number, LISTS)


def test_threads_share_an_index(pair: Pair) -> None:
    nearest, errors = pair.open(), []

    def search() -> None:
        try:
            for _ in range(20):
                found = nearest.search(QUERIES[0], 5, maker=MAKER)
                assert len(found) == 5
                assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
        except BaseException as error:
            errors.append(error)

    pair.add(20)
    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        pair.add(9)
        pair.remove(1)
    for thread in threads:
        thread.join()
    assert errors == []
    pair.check(nearest)


def _search_until(path: Path, folder: Path, last: str, results: Any) -> None:
    """What a process of its own sees while another one adds."""
    try:
        nearest = NearestBundles(Database(path), folder)
        known: set[str] = set()
        for _ in range(2000):
            found = {id for id, _ in nearest.search(QUERIES[0], 9999, maker=MAKER)}
            assert known <= found, "what was there is gone"
            known = found
            if last in found:
                break
        results.put(sorted(known))
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")


def test_two_processes_read_while_one_writes(pair: Pair) -> None:
    pair.add(5)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    last = record(149).id
    arguments = (pair.catalog.path, pair.folder / "index", last, results)
    children = [context.Process(target=_search_until, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    while pair.number < 150:
        pair.add(5)
    answers = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
        child.close()
    results.close()
    results.join_thread()
    assert answers == [sorted(pair.held)] * 2
    pair.check(pair.open())
    assert len(list((pair.folder / "index").glob("*.faiss"))) == 1
    assert list((pair.folder / "index").glob("*.tmp")) == []
