from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.limits import files_of_at_most
from snt_zoo.formats import durable
from snt_zoo.formats.durable import (
    is_empty_folder,
    made_whole,
    put_in_place,
    sync_folder,
    write_file,
    write_files,
)


def test_a_folder_and_its_files_are_forced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync_folder(tmp_path)
    # The folder last: the names of its files are worth nothing before their bytes are there.
    assert sorted(synced[:2]) == sorted((tmp_path / name).stat().st_ino for name in "ab")
    assert synced[2:] == [tmp_path.stat().st_ino]


def test_a_finished_folder_takes_no_place_that_is_in_use(tmp_path: Path) -> None:
    for name in ("new", "empty", "used"):
        (tmp_path / name).mkdir()
    (tmp_path / "used" / "theirs").touch()
    (tmp_path / "new" / "mine").touch()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    names = ("empty", "used", "link", "nothing", "used/theirs")
    assert [is_empty_folder(tmp_path / name) for name in names] == [True, False, False, False, False]
    with pytest.raises(OSError, match="not empty"):
        put_in_place(tmp_path / "new", tmp_path / "used")
    assert (tmp_path / "used" / "theirs").exists() and (tmp_path / "new" / "mine").exists()
    put_in_place(tmp_path / "new", tmp_path / "empty")
    assert (tmp_path / "empty" / "mine").exists() and not (tmp_path / "new").exists()


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_seen_when_all_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"a": b"1", "sub/b": b"2", "last": b"3"}
    write_files(tmp_path, old)
    (tmp_path / "theirs").write_bytes(b"mine")
    before = _content(tmp_path)
    assert before == old | {"theirs": b"mine"}
    with files_of_at_most(100), pytest.raises(OSError, match="File too large"):
        write_files(tmp_path, {"a": b"4", "sub/b": b"x" * 1000, "last": b"5"})
    assert _content(tmp_path) == before
    (tmp_path / ".snt-zoo.partial").mkdir()  # of a process that was killed
    (tmp_path / ".snt-zoo.partial" / "a").write_bytes(b"half")
    renamed, synced = [], []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (renamed.append((to.name, len(synced))), replace(self, to))
    )
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    write_files(tmp_path, {"a": b"4", "sub/b": b"5", "last": b"6"})
    assert _content(tmp_path) == {"a": b"4", "sub/b": b"5", "last": b"6", "theirs": b"mine"}
    # Three files are on the disk before the first rename, and the folders of the others before the last.
    assert renamed == [("a", 3), ("b", 3), ("last", 5)] and len(synced) == 6


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "中" * 85, "a\udce9" * 60):
        with made_whole(tmp_path / name) as partial:
            (partial / "a").touch()
        assert (tmp_path / name / "a").exists()


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("n" * 250)  # as long as a name may be, nearly
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync_file", fail)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"newer")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
