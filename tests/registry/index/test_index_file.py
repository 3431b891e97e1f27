"""The index on the disk: what was written comes back, and nothing else is ever given to faiss."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import StaleIndexError
from snt_zoo.registry.catalog.vector_rows import State
from snt_zoo.registry.index.base_index import make_base, search
from snt_zoo.registry.index.index_file import IndexFile, Label
from tests.registry.vectors import DIM, MAKER, unit_rows

STATE = State(generation=2**62 + 1, revision=5)


def a_base(*, lists: int = 0, seed: int = 0, count: int = 400) -> faiss.Index:
    vectors = unit_rows(np.random.default_rng(seed), count)
    base = make_base(DIM, lists, vectors)
    base.add_with_ids(vectors, np.arange(count) * 2)
    return base


def written(folder: Path, base: faiss.Index | None = None, **changes: Any) -> IndexFile:
    file = IndexFile(folder)
    with file.lock(wait=True):
        file.write(base or a_base(), Label.of(replace(STATE, **changes), 798, MAKER))
    return file


def data_of(folder: Path) -> Path:
    (path,) = folder.glob("*.faiss")
    return path


@pytest.mark.parametrize("lists", [0, 8])
@pytest.mark.parametrize("copy", [False, True])
def test_what_was_written_comes_back(tmp_path: Path, lists: int, copy: bool) -> None:
    base = a_base(lists=lists)
    if lists:
        base.nprobe = 3
    file = written(tmp_path / "index", base)
    found = file.read(replace(STATE, revision=9), MAKER, copy=copy)
    assert found is not None
    label, read = found
    assert (label.generation, label.revision, label.newest, label.maker) == (2**62 + 1, 5, 798, MAKER)
    queries = unit_rows(np.random.default_rng(1), 20)
    for a, b in zip(search(base, queries, 9, probes=3), search(read, queries, 9, probes=3), strict=True):
        assert np.array_equal(a, b)
    if lists:
        assert read.nprobe == 3
    if copy:
        read.add_with_ids(unit_rows(np.random.default_rng(2), 1), np.array([9999]))
        assert read.ntotal == 401
    names = sorted(path.name for path in (tmp_path / "index").iterdir())
    assert names == sorted([label.data, "index.json", "lock"])


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert IndexFile(tmp_path / "index").read(STATE, MAKER) is None
    file = written(tmp_path / "index")
    file.discard()
    assert file.read(STATE, MAKER) is None
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["lock"]


def flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] ^= 0x40
    path.write_bytes(raw)


def swap(folder: Path) -> None:
    """Another index, itself whole, under the first one's name."""
    other = written(folder.parent / "other", a_base(seed=9))
    data_of(other.folder).replace(data_of(folder))


def point_outside(folder: Path) -> None:
    label = json.loads((folder / "index.json").read_text())
    label["sha256"] = "../../../../../etc/passwd" + label["sha256"][25:]
    (folder / "index.json").write_text(json.dumps(label))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit in the header": lambda folder: flip(data_of(folder), 3),
    "a bit in the middle": lambda folder: flip(data_of(folder), 5000),
    "a bit at the end": lambda folder: flip(data_of(folder), -1),
    "cut off": lambda folder: os.truncate(data_of(folder), 100),
    "empty": lambda folder: os.truncate(data_of(folder), 0),
    "longer": lambda folder: data_of(folder).write_bytes(data_of(folder).read_bytes() + b"x"),
    "gone": lambda folder: data_of(folder).unlink(),
    "another file": swap,
    "label cut off": lambda folder: os.truncate(folder / "index.json", 20),
    "label empty": lambda folder: os.truncate(folder / "index.json", 0),
    "label of noise": lambda folder: (folder / "index.json").write_bytes(bytes(range(256))),
    "label too long": lambda folder: (folder / "index.json").write_text(" " * 10**6 + "{}"),
    "label of another format": lambda folder: (folder / "index.json").write_text('{"format": 2}'),
    "label of another file": point_outside,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("copy", [False, True])
def test_a_damaged_file_never_reaches_faiss(
    damage: str, copy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "index")
    DAMAGES[damage](tmp_path / "index")
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("faiss read it"))
    with pytest.raises(StaleIndexError, match="to be made anew"):
        file.read(STATE, MAKER, copy=copy)


@settings(max_examples=30, deadline=None)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_is_seen(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("bits") / "index"
    file = written(folder, a_base(count=20))
    raw = bytearray(data_of(folder).read_bytes())
    raw[position % len(raw)] ^= 1 << bit
    data_of(folder).write_bytes(raw)
    with pytest.raises(StaleIndexError):
        file.read(STATE, MAKER)


@pytest.mark.parametrize(("state", "maker"), [
    (replace(STATE, generation=1), MAKER),
    (replace(STATE, generation=None), MAKER),
    (replace(STATE, revision=4), MAKER),  # the catalog was put back from a copy
    (STATE, replace(MAKER, encoder="other")),
    (STATE, replace(MAKER, backbone="other")),
    (STATE, replace(MAKER, dim=9)),
])  # fmt: skip
def test_the_index_of_another_catalog_or_maker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, maker: Any
) -> None:
    file = written(tmp_path / "index")
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("faiss read it"))
    with pytest.raises(StaleIndexError, match="to be made anew"):
        file.read(state, maker)


@pytest.mark.parametrize("step", ["write_index", "hash", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no space") if step == "write_index" else OSError(28, "No space left on device")

    file = written(tmp_path / "index")
    before = {path.name: path.read_bytes() for path in file.folder.iterdir()}
    target = {
        "write_index": (faiss, "write_index"),
        "hash": ("snt_zoo.registry.index.index_file", "sha256_of"),
        "fsync": ("snt_zoo.registry.index.index_file", "sync_folder"),
        "rename": (Path, "replace"),
    }[step]
    with monkeypatch.context() as patch:
        if isinstance(target[0], str):
            patch.setattr(".".join(target), fail)
        else:
            patch.setattr(*target, fail)
        with pytest.raises(OSError):
            file.write(a_base(seed=3), Label.of(replace(STATE, revision=6), 798, MAKER))
    assert {path.name: path.read_bytes() for path in file.folder.iterdir()} == before
    assert file.read(STATE, MAKER) is not None


def test_a_mapped_index_outlives_its_file(tmp_path: Path) -> None:
    file = written(tmp_path / "index")
    found = file.read(STATE, MAKER)
    assert found is not None
    old, queries = found[1], unit_rows(np.random.default_rng(1), 5)
    before = search(old, queries, 3)
    written(tmp_path / "index", a_base(seed=4), revision=6)
    assert len(list((tmp_path / "index").glob("*.faiss"))) == 1
    assert all(np.array_equal(a, b) for a, b in zip(search(old, queries, 3), before, strict=True))


def test_readers_see_one_index_or_the_other(tmp_path: Path) -> None:
    file, done = written(tmp_path / "index"), threading.Event()
    seen: list[Any] = []

    def read() -> None:
        try:
            while not done.is_set():
                found = file.read(replace(STATE, revision=99), MAKER)
                seen.append(None if found is None else (found[0].revision, found[1].ntotal))
        except StaleIndexError as error:
            seen.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    for revision in range(6, 40):
        with file.lock(wait=True):
            base = a_base(seed=revision, count=400 + revision)
            file.write(base, Label.of(replace(STATE, revision=revision), 998, MAKER))
    done.set()
    thread.join()
    assert set(seen) <= {(5, 400)} | {(revision, 400 + revision) for revision in range(6, 40)}
    assert len(set(seen)) > 1


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    first, second = IndexFile(tmp_path / "index"), IndexFile(tmp_path / "index")
    with first.lock(wait=True) as mine:
        assert mine
        with second.lock(wait=False) as also_mine:
            assert not also_mine
    with second.lock(wait=False) as mine:
        assert mine
