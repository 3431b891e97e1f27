from __future__ import annotations

import shutil
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.limits import files_of_at_most, read_only
from snt_zoo.data import decoded, pixel_file
from snt_zoo.data.decoded import DecodedImages, Wanted, in_progress
from snt_zoo.errors import SntZooWarning

COUNT, SIZE = 150, 8


@dataclass(eq=False)
class _Store:
    """Images that are full of their own number; counts how often each is decoded."""

    decoded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return COUNT

    def read(self, indices: Tensor, size: int) -> Tensor:
        self.decoded += indices.tolist()
        return indices.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, size, size)


def is_right(images: Tensor, rows: Tensor) -> bool:
    return torch.equal(images, _Store().read(rows, SIZE)) and images.dtype == torch.uint8


@pytest.fixture(params=[True, False], ids=["memory", "file"])
def images(request: pytest.FixtureRequest) -> DecodedImages:
    return DecodedImages(_Store(), SIZE, in_memory=request.param)


@pytest.fixture
def store(images: DecodedImages) -> _Store:
    assert isinstance(images.store, _Store)
    return images.store


def test_each_image_is_decoded_when_it_is_first_asked_for(images: DecodedImages, store: _Store) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        rows = torch.randperm(COUNT, generator=generator)[:32]
        assert is_right(images.take(rows), rows)
    assert len(store.decoded) == len(set(store.decoded)) == int(images.known.sum())
    rows = torch.tensor([149, 3, 3, 0])
    images.fill(torch.arange(COUNT))
    assert sorted(store.decoded) == list(range(COUNT))
    assert is_right(images.take(rows), rows) and images.take(rows[:0]).shape == (0, 3, SIZE, SIZE)


def test_threads_may_share_it(images: DecodedImages) -> None:
    wrong: list[int] = []

    def go(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(10):
            rows = torch.randperm(COUNT, generator=generator)[:40]
            if not is_right(images.take(rows), rows):
                wrong.append(seed)

    threads = [threading.Thread(target=go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pixels_lie_in_memory_alone_where_that_was_asked_for() -> None:
    assert DecodedImages(_Store(), SIZE, in_memory=False).pixels is None
    held = DecodedImages(_Store(), SIZE, in_memory=True)
    held.fill(torch.arange(COUNT))
    assert held.pixels is not None and is_right(held.pixels, torch.arange(COUNT))


def test_where_the_disk_has_no_room_the_rest_is_decoded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(Path())
    free = 2 * 100 * 3 * SIZE * SIZE
    monkeypatch.setattr(pixel_file.shutil, "disk_usage", lambda _: usage._replace(free=free))
    images, every = DecodedImages(_Store(), SIZE, in_memory=False), torch.arange(COUNT)
    Wanted(images, every[:100])  # fits
    with pytest.warns(SntZooWarning, match="only 100 of 150 decoded images fit") as told:
        Wanted(images, every)
        for _ in range(2):
            assert is_right(images.take(every), every)
    assert len(told) == 1 and "\n" not in str(told[0].message)


def test_a_disk_that_fills_meanwhile_is_told_once() -> None:
    images, every = DecodedImages(_Store(), SIZE, in_memory=False), torch.arange(COUNT)
    with (
        files_of_at_most(100 * 3 * SIZE * SIZE),
        pytest.warns(SntZooWarning, match="only 100 of 150") as told,
    ):
        for _ in range(2):
            assert is_right(images.take(every), every)
    assert len(told) == 1


def test_without_a_place_for_the_file_images_are_decoded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snt_zoo.data.decoded.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(pixel_file, "cache_folder", lambda: tmp_path / "cache")
    every = torch.arange(COUNT)
    with read_only(tmp_path), pytest.warns(SntZooWarning, match="no cache .* can be made in .*cache") as told:
        images = DecodedImages(_Store(), SIZE, in_memory=False)
        assert is_right(Wanted(images, every).take(every), every)
    assert len(told) == 1 and int(images.known.sum()) == 0


def test_progress_counts_what_somebody_goes_through(
    images: DecodedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "_wanted", weakref.WeakSet())
    assert in_progress() == (0, 0)
    some, few = Wanted(images, torch.arange(100)), Wanted(images, torch.arange(90, 95))
    assert in_progress() == (0, 105) and len(some) == 100
    some.take(torch.arange(30))
    few.take(torch.arange(5))
    assert in_progress() == (35, 100)  # the few are all there
    assert few.held == (images.pixels is not None) and not some.held
    images.partial = True  # some will never be kept
    assert in_progress() == (0, 0)
    images.partial = False
    del some
    assert in_progress() == (0, 0)
