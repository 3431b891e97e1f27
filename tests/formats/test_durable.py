from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.formats.durable import is_empty_folder, put_in_place, sync_folder


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
