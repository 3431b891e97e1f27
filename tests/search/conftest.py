"""Supernets that race, and two datasets that conflict."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.joining import join
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from tests.search.runs import CONFIG, RECIPE, finetune, pretrain


@pytest.fixture(scope="session")
def learned(digits: ImageDataset) -> Supernet:
    """Trained on digits: it cannot but serve them better than fresh weights do."""
    return pretrain(digits, CONFIG, budget=Budget(epochs=3), recipe=Recipe()).supernet


@pytest.fixture(scope="session")
def candidates(learned: Supernet) -> list[Candidate]:
    fresh = [Supernet.create(CONFIG, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 3)]
    sources = {"a": fresh[0], "b": fresh[1], "learned": learned, "c": fresh[2]}
    return [Candidate(id, source, RECIPE) for id, source in sources.items()]


def negative(split: Split) -> Split:
    class Negative:
        def __len__(self) -> int:
            return len(split)

        def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
            return 255 - split.images.read(indices, size)

    return Split(Negative(), split.labels)


@pytest.fixture(scope="session")
def both(digits: ImageDataset) -> ImageDataset:
    """Digits, and the same in negative with their classes the other way round."""

    def cut(split: Split, count: int) -> Split:
        return split.subset(torch.arange(min(count, len(split))))

    left = ImageDataset(
        "left", digits.class_names, cut(digits.train, 400), cut(digits.val, 100), cut(digits.test, 100)
    )
    parts = [Split(n.images, 9 - n.labels) for n in map(negative, (left.train, left.val, left.test))]
    return join([left, ImageDataset("right", digits.class_names, *parts)])


@pytest.fixture(scope="session")
def result(few_digits: ImageDataset) -> FinetuneResult:
    """Of a short run from scratch."""
    return finetune(few_digits, CONFIG, budget=Budget(epochs=1))
