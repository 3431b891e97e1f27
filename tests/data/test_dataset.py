from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Split, dataset
from snt_zoo.data.stores import ArrayStore

from .making import array_split


@dataclass(eq=False)
class _CountingStore:
    """Counts what is read of it."""

    inner: ArrayStore
    reads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inner)

    def read(self, indices: Tensor, size: int) -> Tensor:
        self.reads.append(size)
        return self.inner.read(indices, size)


def _counting_split() -> tuple[Split, _CountingStore]:
    plain = array_split(12)
    assert isinstance(plain.images, ArrayStore)
    store = _CountingStore(plain.images)
    return Split(store, plain.labels), store


def test_the_last_two_sizes_are_kept() -> None:
    split, store = _counting_split()
    for size in (8, 16, 8, 16, 8, 24, 8):  # 24 drives 16 out, as 8 was used later
        assert split.tensor(size).shape == (12, 3, size, size)
    assert store.reads == [8, 16, 24]
    split.tensor(16)
    assert store.reads == [8, 16, 24, 16]


def test_what_does_not_fit_in_memory_lies_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    split, store = _counting_split()
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", 12 * 3 * 8 * 8)
    assert split.fits(8) and not split.fits(9)
    assert torch.equal(split.tensor(9), split.tensor(9))
    assert store.reads == [9]
    assert split.decoded(9).ready == 12 and not split.decoded(9).held
    split.tensor(8)
    assert split.decoded(8).held


def test_what_fits_depends_on_the_memory_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    split = array_split(12)
    for left, fits in ((4 * 12 * 3 * 8 * 8, True), (4 * 12 * 3 * 8 * 8 - 1, False), (None, True)):
        monkeypatch.setattr(dataset, "free_memory", lambda left=left: left)
        assert split.fits(8) == fits


def test_subsets_share_what_is_decoded() -> None:
    split, store = _counting_split()
    subset = split.subset(torch.tensor([3, 1, 5])).subset(torch.tensor([1, 2]))
    assert torch.equal(subset.tensor(8), store.inner.read(torch.tensor([1, 5]), 8))
    assert split.decoded(8).ready == 2 and not split.decoded(8).held
    assert subset.decoded(8).held
    split.subset(torch.tensor([5, 1])).tensor(8)
    assert store.reads == [8]
    split.tensor(8)  # the ten others
    assert store.reads == [8, 8] and split.decoded(8).held


def test_reading_takes_what_is_decoded_and_keeps_no_new_size() -> None:
    split, store = _counting_split()
    some = torch.tensor([2, 7])
    subset = split.subset(torch.tensor([0, 2, 7]))
    assert torch.equal(split.read(some, 8), subset.images.read(torch.tensor([1, 2]), 8))
    assert store.reads == [8, 8]
    split.tensor(8)
    assert torch.equal(split.read(some, 8), split.tensor(8)[some])
    assert torch.equal(subset.images.read(torch.tensor([1, 2]), 8), split.tensor(8)[some])
    assert store.reads == [8, 8, 8]


def test_a_thinned_split_has_evenly_spaced_images() -> None:
    split = array_split(12)
    assert split.thinned(12) is split and split.thinned(100) is split
    for most, step in ((11, 2), (6, 2), (5, 3), (1, 12)):
        thinned = split.thinned(most)
        assert len(thinned) <= most and torch.equal(thinned.tensor(8), split.tensor(8)[::step])
        assert torch.equal(thinned.labels, split.labels[::step])


class TestFingerprint:
    @pytest.fixture
    def whole(self) -> ImageDataset:
        train, val, test = (array_split(9, seed=seed) for seed in range(3))
        return ImageDataset("blobs", ("a", "b", "c"), train, val, test)

    def test_is_sha256_in_hex_and_kept(self, whole: ImageDataset) -> None:
        assert len(whole.fingerprint) == 64
        assert int(whole.fingerprint, 16) >= 0
        assert whole.fingerprint is whole.fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: ImageDataset(d.name, ("a", "b", "x"), d.train, d.val, d.test),
            lambda d: ImageDataset(d.name, d.class_names, d.val, d.train, d.test),
            lambda d: ImageDataset(d.name, d.class_names, array_split(9, seed=7), d.val, d.test),
            lambda d: ImageDataset(
                d.name, d.class_names, Split(d.train.images, d.train.labels.flip(0)), d.val, d.test
            ),
        ],
    )
    def test_changes_with_the_content(
        self, whole: ImageDataset, change: Callable[[ImageDataset], ImageDataset]
    ) -> None:
        assert change(whole).fingerprint != whole.fingerprint

    def test_does_not_change_with_the_name(self, whole: ImageDataset) -> None:
        other = ImageDataset("other", whole.class_names, whole.train, whole.val, whole.test)
        assert other.fingerprint == whole.fingerprint

    def test_a_store_that_cannot_digest_is_read(self) -> None:
        split, store = _counting_split()
        _ = ImageDataset("blobs", ("a", "b", "c"), split, split, split).fingerprint
        assert store.reads == [32]  # once for a split
