from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.streams import Streams
from tests.search.runs import CONFIG

RECIPE = Recipe(batch_size=16, datasets_per_step=1, augmentation="flip")


def streams(data: ImageDataset, seed: int = 0) -> tuple[Streams, Any, Any]:
    """With one of the weights and one of the alphas."""
    config = replace(CONFIG, num_classes=data.num_classes, heads=data.heads)
    made = Streams(config, RECIPE, device=torch.device("cpu"), seed=seed)
    return made, made.open("weights", data.train), made.open("alphas", data.train)


def drawn(stream: Any) -> torch.Tensor:
    """What identifies a batch: its labels and its pixels."""
    images, labels = next(stream)
    return torch.cat([labels.float(), images.flatten()])


def test_order_and_augmentation_depend_on_the_seed_and_the_name(few_digits: ImageDataset) -> None:
    (_, weights, alphas), (_, again, _), (other, another, _) = (streams(few_digits, s) for s in (0, 0, 1))
    first = drawn(weights)
    assert torch.equal(first, drawn(again)) and not torch.equal(first, drawn(alphas))
    assert not torch.equal(first, drawn(another))
    other.reseed(0)
    assert torch.equal(drawn(another), drawn(weights))  # from where each stands


def test_they_go_on_from_their_positions(few_digits: ImageDataset, both: ImageDataset) -> None:
    for data in (few_digits, both):
        made, weights, alphas = streams(data)
        for stream in (weights, weights, alphas):
            next(stream)
        resumed, *stands = streams(data)
        resumed.seek(made.positions())
        for here, there in zip((weights, alphas), stands, strict=True):
            assert torch.equal(drawn(here), drawn(there))


def test_the_parts_of_a_split_are_kept_with_what_they_hold_in_memory(both: ImageDataset) -> None:
    made, *_ = streams(both)
    assert [len(part) for part in made.divided(both.train)] == [400, 400]
    assert made.divided(both.train) is made.divided(both.train)
