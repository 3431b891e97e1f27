"""One generic test case for dataset readers: a new reader gets all of it by subclassing.

Example:
    class TestMyReader(ReaderTestCase):
        name = "mine"

        def make(self, folder, monkeypatch):
            return "mine:something"
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from snt_zoo.data import ImageDataset, ImageStore, Split, list_readers, open_dataset


class ReaderTestCase:
    """What holds for every reader's datasets."""

    name: ClassVar[str]
    makes_splits: ClassVar[bool] = True  # whether the source made by `make` lacks one

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Makes a dataset of at least two classes, and returns its reference."""
        raise NotImplementedError

    @pytest.fixture
    def ref(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return self.make(tmp_path, monkeypatch)

    @pytest.fixture
    def dataset(self, ref: str) -> ImageDataset:
        return open_dataset(ref)

    def splits(self, dataset: ImageDataset) -> tuple[Split, ...]:
        return dataset.train, dataset.val, dataset.test

    def test_is_listed(self) -> None:
        assert self.name in list_readers()

    def test_splits_hold_images_and_valid_labels(self, dataset: ImageDataset) -> None:
        assert dataset.num_classes == len(dataset.class_names) >= 2
        assert dataset.name
        for split in self.splits(dataset):
            assert isinstance(split.images, ImageStore)
            assert len(split) == len(split.images) == len(split.labels) > 0
            assert split.labels.dtype == torch.int64
            assert split.labels.min() >= 0 and split.labels.max() < dataset.num_classes
        assert set(dataset.train.labels.tolist()) == set(range(dataset.num_classes))

    def test_reads_at_any_size_by_any_index(self, dataset: ImageDataset) -> None:
        for split in self.splits(dataset):
            indices = torch.tensor([len(split) - 1, 0, 0])
            for size in (5, 16):
                images = split.images.read(indices, size)
                assert images.dtype == torch.uint8
                assert images.shape == (3, 3, size, size)
                whole = split.tensor(size)
                assert torch.equal(images, whole[indices])
        assert dataset.train.images.read(torch.empty(0, dtype=torch.int64), 8).shape == (0, 3, 8, 8)

    def test_a_subset_is_a_view(self, dataset: ImageDataset) -> None:
        indices = torch.tensor([1, 0])
        subset = dataset.train.subset(indices)
        before = subset.images.read(torch.tensor([0, 1]), 6)
        whole = dataset.train.tensor(6)
        assert torch.equal(before, whole[indices])
        assert torch.equal(subset.tensor(6), whole[indices])
        assert torch.equal(subset.labels, dataset.train.labels[indices])

    def test_opening_again_gives_the_same(self, ref: str, dataset: ImageDataset) -> None:
        again = open_dataset(ref)
        assert again.fingerprint == dataset.fingerprint
        assert torch.equal(again.train.labels, dataset.train.labels)
        assert torch.equal(again.train.tensor(8), dataset.train.tensor(8))

    def test_made_splits_depend_on_the_seed(self, ref: str, dataset: ImageDataset) -> None:
        other = open_dataset(ref, seed=1)
        assert (other.fingerprint != dataset.fingerprint) == self.makes_splits

    def test_fingerprint_ignores_the_order_but_not_the_labels(self, dataset: ImageDataset) -> None:
        from dataclasses import replace

        train = dataset.train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(3))
        assert replace(dataset, train=train.subset(order)).fingerprint == dataset.fingerprint
        wrong = Split(train.images, train.labels.roll(1))
        assert replace(dataset, train=wrong).fingerprint != dataset.fingerprint
        fewer = train.subset(torch.arange(1, len(train)))
        assert replace(dataset, train=fewer).fingerprint != dataset.fingerprint

    def test_a_split_can_be_sent_to_a_process_without_its_pixels(self, dataset: ImageDataset) -> None:
        before = len(pickle.dumps(dataset.val))
        dataset.val.tensor(64)
        packed = pickle.dumps(dataset.val)
        assert len(packed) == before
        sent = pickle.loads(packed)
        assert torch.equal(sent.tensor(8), dataset.val.tensor(8))

    def test_skip_finds_nothing_wrong_with_good_images(self, ref: str, dataset: ImageDataset) -> None:
        skipping = open_dataset(ref, on_bad_image="skip")
        assert skipping.skipped == ()
        assert skipping.fingerprint == dataset.fingerprint
