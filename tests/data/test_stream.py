"""A stream can be entered anywhere, and shared."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from snt_zoo.data import Augmentation, Normalisation, Stream, dataset
from snt_zoo.errors import TooFewImagesError

from .making import array_split


def make(count: int = 23, **options: Any) -> Stream:
    options = {"batch_size": 5, "seed": 3, "augment": Augmentation.named("cutout"), **options}
    return Stream(array_split(count), size=8, normalisation=Normalisation(), **options)


def take(stream: Stream, count: int) -> list[tuple[Tensor, Tensor]]:
    return list(itertools.islice(stream, count))


def same(left: list[tuple[Tensor, Tensor]], right: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a, b) and torch.equal(i, j) for (a, i), (b, j) in pairs)


@pytest.mark.parametrize("limit", [0, dataset.IN_MEMORY_LIMIT])
@pytest.mark.parametrize("position", [0, 3, 5, 12])
def test_it_goes_on_from_a_position_as_if_it_had_never_stopped(
    monkeypatch: pytest.MonkeyPatch, limit: int, position: int
) -> None:
    whole = take(make(), 15)
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", limit)
    stream = make()
    stream.seek(position)
    assert same(take(stream, 15 - position), whole[position:])
    assert stream.position == 15
    stream.close()
    assert same([next(stream)], take(make(), 16)[15:])
    stream.close()


def test_each_pass_holds_every_image_once_in_an_order_of_its_own() -> None:
    stream = make(augment=None)
    passes = [take(stream, stream.pass_length) for _ in range(3)]
    everything = array_split(23).tensor(8)
    orders = [torch.cat([images for images, _ in batches]) for batches in passes]
    expected = Normalisation()(everything).flatten(1)
    for order in orders:
        assert sorted(order.flatten(1).tolist()) == sorted(expected.tolist())
    assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[1], orders[2])


def test_the_seed_decides() -> None:
    first, again, other = (take(make(seed=seed), 3) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)


def test_the_augmentation_differs_between_passes() -> None:
    stream = make(count=4, batch_size=4)
    by_label = []
    for images, labels in take(stream, 2):
        by_label.append(images[labels.argsort(stable=True)])
    assert not torch.equal(*by_label)


@given(count=st.integers(8, 40), size=st.integers(2, 12), processes=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_the_shares_of_all_processes_are_the_batch_of_one(count: int, size: int, processes: int) -> None:
    augment = Augmentation.named("safe")
    assume(processes == 1 or size >= 2 * processes)
    shares = [
        make(count, batch_size=size, augment=augment, share=(rank, processes)) for rank in range(processes)
    ]
    streams = [take(stream, 4) for stream in shares]
    for parts in zip(*streams, strict=True):
        assert all(len(labels) >= 2 for _, labels in parts) or processes == 1
        assert max(len(labels) for _, labels in parts) - min(len(labels) for _, labels in parts) <= 1
    leftover = count % size
    if leftover == 0 or leftover >= 2 * processes or processes == 1:  # else one plan merges its last batch
        whole = take(make(count, batch_size=size, augment=augment), 4)
        joined = [
            (torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts]))
            for parts in zip(*streams, strict=True)
        ]
        for (images, labels), (others, targets) in zip(joined, whole, strict=True):
            assert torch.equal(labels, targets)
            torch.testing.assert_close(images, others, rtol=0, atol=1e-6)


def test_too_few_images_for_the_processes_are_refused() -> None:
    with pytest.raises(TooFewImagesError, match="start fewer"):
        make(count=5, share=(0, 3))
    with pytest.raises(TooFewImagesError, match="batches of 5 images"):
        make(batch_size=5, share=(0, 3))
    with pytest.raises(TooFewImagesError):
        make(count=0)
