from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snt_zoo.data import Augmentation, Normalisation, Split, batches, dataset, open_dataset
from snt_zoo.data.batches import plan_batches
from snt_zoo.errors import UnreadableImageError

from .making import array_split, write_class_folders

Batches = list[tuple[Tensor, Tensor]]


def _all(split: Split, **options: Any) -> Batches:
    options = {"size": 8, "batch_size": 4, "normalisation": Normalisation(), **options}
    if "seed" in options:
        options["generator"] = torch.Generator().manual_seed(options.pop("seed"))
    return list(batches(split, **options))


@given(count=st.integers(0, 40), size=st.integers(1, 12), shuffle=st.booleans(), drop_last=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_plan_holds_each_image_at_most_once(count: int, size: int, shuffle: bool, drop_last: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    plan = plan_batches(count, size, shuffle=shuffle, drop_last=drop_last, generator=generator)
    indices = [index for batch in plan for index in batch.tolist()]
    assert len(set(indices)) == len(indices)
    full = drop_last and count >= size
    assert len(indices) == (count - count % size if full else count)
    assert all(1 <= len(batch) <= size + 1 for batch in plan)
    if full:
        assert {len(batch) for batch in plan} == {size}
    if shuffle and size > 1 and count > 1:
        assert all(len(batch) > 1 for batch in plan)
    if not shuffle:
        assert indices == sorted(indices)


def test_batches_are_the_normalised_images_with_their_labels() -> None:
    split = array_split(10)
    normalisation = Normalisation(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    got = _all(split, normalisation=normalisation)
    assert [len(labels) for _, labels in got] == [4, 4, 2]
    assert torch.equal(torch.cat([labels for _, labels in got]), split.labels)
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    std = torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    expected = (split.tensor(8).double() / 255 - mean) / std
    assert torch.allclose(torch.cat([images for images, _ in got]).double(), expected, atol=1e-6)
    for images, labels in got:
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augment", [None, "safe", "cutout"])
@pytest.mark.parametrize("source", ["memory", "folder"])
@pytest.mark.parametrize("limit", [0, dataset.IN_MEMORY_LIMIT])
def test_wherever_the_pixels_lie_the_bits_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: str | None, source: str, limit: int
) -> None:
    def split() -> Split:
        return array_split(21, side=9) if source == "memory" else open_dataset(tmp_path / "folders").train

    write_class_folders(tmp_path / "folders", each=14)
    options: dict[str, Any] = {"shuffle": True, "seed": 5}
    if augment:
        options["augment"] = Augmentation.named(augment)
    held = split()
    held.tensor(8)
    expected = _all(held, **options)
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", limit)
    read = split()
    state = torch.get_rng_state()
    for got in (_all(read, **options), _all(read, **options)):  # decoded, then from the cache
        assert torch.equal(state, torch.get_rng_state())
        assert len(expected) == len(got) > 3
        for (a, a_labels), (b, b_labels) in zip(expected, got, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a_labels, b_labels)
            assert b.is_contiguous(memory_format=torch.channels_last)


def test_the_generator_decides_the_order() -> None:
    split = array_split(20)
    a, b, c = (
        torch.cat([images for images, _ in _all(split, shuffle=True, seed=seed)]) for seed in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert sorted(a.flatten(1).tolist()) == sorted(c.flatten(1).tolist())


def test_an_epoch_after_another_differs() -> None:
    split = array_split(20)
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.cat([labels for _, labels in _all(split, shuffle=True, generator=generator)]) for _ in range(2)
    )
    assert not torch.equal(first, second)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    split = open_dataset(write_class_folders(tmp_path)).train
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"overwritten")
    with pytest.raises(UnreadableImageError, match=r"\.png as an image") as caught:
        _all(split)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True, eq=False)
class _EndlessStore:
    """More images than any memory holds."""

    def __len__(self) -> int:
        return 10**6

    def read(self, indices: Tensor, size: int) -> Tensor:
        return (indices % 256).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, size, size)


@pytest.mark.filterwarnings("ignore:only .* decoded images fit")
def test_the_first_batch_of_a_large_split_needs_no_pass_through_it() -> None:
    split = Split(_EndlessStore(), torch.zeros(10**6, dtype=torch.int64))
    assert not split.fits(224)
    images, _ = next(batches(split, size=224, batch_size=64, normalisation=Normalisation(), shuffle=False))
    assert images.shape == (64, 3, 224, 224)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"size": 0}])
def test_wrong_numbers_are_refused_at_the_call(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        _all(array_split(4), **wrong)


def test_an_empty_split_gives_no_batch() -> None:
    assert _all(array_split(4).subset(torch.empty(0, dtype=torch.int64)), shuffle=True) == []
