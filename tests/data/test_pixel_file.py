from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from benchmarks.limits import files_of_at_most
from snt_zoo.data import pixel_file
from snt_zoo.data.pixel_file import PixelFile

from .making import pixels

IMAGE = 3 * 16 * 16  # bytes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pixel_file, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_what_is_kept_comes_back_in_any_order(folder: Path) -> None:
    file, images = PixelFile(16), pixels(20, 3, 16, 16)
    rows = np.random.default_rng(0).permutation(50)[:20]
    assert file.put(rows[:7], images[:7]) == 7 and file.put(rows[7:], images[7:]) == 13
    order = np.array([3, 19, 0, 3])
    assert np.array_equal(file.get(rows[order]), images[order])
    assert file.get(rows[:0]).shape == (0, 3, 16, 16)


def test_nothing_is_seen_of_it_and_nothing_is_left(folder: Path) -> None:
    file = PixelFile(16)
    file.put(np.arange(20), pixels(20, 3, 16, 16))
    assert list(folder.iterdir()) == []
    if os.name == "posix":
        status = os.fstat(file._file.fileno())
        assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == os.geteuid()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_takes_no_more_than_half_of_what_is_free(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [20 * IMAGE + 5]
    usage = shutil.disk_usage(folder.parent)
    monkeypatch.setattr(pixel_file.shutil, "disk_usage", lambda _: usage._replace(free=free[0]))
    file, images = PixelFile(16), pixels(20, 3, 16, 16)
    assert file.room() == 10
    assert file.put(np.arange(8), images[:8]) == 8
    free[0] -= 8 * IMAGE
    assert file.put(np.arange(8, 16), images[8:16]) == 2
    free[0] = 0  # somebody else has filled the disk
    assert file.room() == 0 and file.put(np.arange(10, 12), images[10:12]) == 0
    assert np.array_equal(file.get(np.arange(10)), images[:10])


def test_a_disk_that_is_full_all_the_same_keeps_what_was_written(folder: Path) -> None:
    file, images = PixelFile(16), pixels(20, 3, 16, 16)
    with files_of_at_most(5 * IMAGE + 100):  # the sixth is cut short, the next cannot begin
        assert file.put(np.arange(20), images) == 5
        assert file.put(np.arange(6, 20), images[6:]) == 0
    assert np.array_equal(file.get(np.arange(5)), images[:5])
    assert file.put(np.arange(5, 20), images[5:]) == 15
    assert np.array_equal(file.get(np.arange(20)), images)
