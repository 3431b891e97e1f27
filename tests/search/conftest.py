"""Supernets that race."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from tests.search.runs import CONFIG, RECIPE, pretrain


@pytest.fixture(scope="session")
def learned(digits: ImageDataset) -> Supernet:
    """Trained on digits: it cannot but serve them better than fresh weights do."""
    return pretrain(digits, CONFIG, budget=Budget(epochs=3), recipe=Recipe()).supernet


@pytest.fixture(scope="session")
def candidates(learned: Supernet) -> list[Candidate]:
    fresh = [Supernet.create(CONFIG, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 3)]
    sources = {"a": fresh[0], "b": fresh[1], "learned": learned, "c": fresh[2]}
    return [Candidate(id, source, RECIPE) for id, source in sources.items()]
