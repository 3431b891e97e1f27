"""Batches from several datasets: balanced, and entered anywhere."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
import torch

from snt_zoo.data import Augmentation, BalancedStream, Normalisation
from snt_zoo.data.seeding import derive_seed

from .making import array_split

SIZES = (40, 10, 90)


def make(datasets: int = 2, temperature: float = 5.0, **options: Any) -> BalancedStream:
    options = {"batch_size": 8, "seed": 3, "augment": [Augmentation.named("cutout")] * 3, **options}
    return BalancedStream(
        [array_split(count) for count in SIZES],
        datasets=datasets,
        temperature=temperature,
        size=8,
        normalisation=Normalisation(),
        **options,
    )


@pytest.mark.parametrize("position", [0, 1, 7, 19])
def test_it_goes_on_from_a_position_as_if_it_had_never_stopped(position: int) -> None:
    whole = list(itertools.islice(make(), 22))
    stream = make()
    list(itertools.islice(stream, 30))
    stream.seek(position)
    for images, labels in whole[position:]:
        found, named = next(stream)
        assert torch.equal(found, images) and torch.equal(named, labels)
    assert stream.position == 22


def test_another_seed_draws_otherwise_from_the_same_position() -> None:
    stream = make()
    first = [stream.drawn(position) for position in range(20)]
    stream.seed = derive_seed(3, "other")
    stream.seek(0)
    assert first != [stream.drawn(position) for position in range(20)]


def test_a_batch_holds_equal_parts_of_different_datasets() -> None:
    stream = make(datasets=2)
    for _ in range(20):
        drawn = stream.drawn(stream.position)
        images, labels = next(stream)
        assert len(set(drawn)) == 2 and len(labels) == sum(stream.parts) == len(images)
        assert all(2 <= part <= 5 for part in stream.parts)  # 4, but for what is left at the end of a pass
    assert stream.pass_length == -(-sum(SIZES) // 8)


def test_every_image_of_a_dataset_is_seen_before_one_comes_again() -> None:
    stream = make(datasets=1, augment=None)
    seen: list[Counter[float]] = [Counter() for _ in SIZES]
    for _ in range(60):
        (index,) = stream.drawn(stream.position)
        images, _ = next(stream)
        seen[index].update(images.double().flatten(1).sum(1).tolist())
    for counts, size in zip(seen, SIZES, strict=True):
        assert len(counts) <= size
        assert max(counts.values()) - (min(counts.values()) if len(counts) == size else 0) <= 1


@pytest.mark.parametrize("temperature", [1.0, 5.0, 1e9])
def test_datasets_are_drawn_by_the_tempered_number_of_their_images(temperature: float) -> None:
    stream = make(datasets=1, temperature=temperature)
    wanted = torch.tensor(SIZES, dtype=torch.float64) ** (1 / temperature)
    wanted = wanted / wanted.sum()
    drawn = Counter(stream.drawn(position)[0] for position in range(3000))
    found = torch.tensor([drawn[index] / 3000 for index in range(3)])
    assert torch.allclose(stream.probabilities, wanted)
    assert (found - wanted).abs().max() < 0.04  # over four standard deviations


def test_no_temperature_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(temperature=0.5)
