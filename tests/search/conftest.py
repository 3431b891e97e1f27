"""Sources that race."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.budget import Budget
from snt_zoo.search.pretrain import pretrain
from snt_zoo.search.recipe import Recipe
from tests.search.adapting.racers import CONFIG, RECIPE


@pytest.fixture(scope="session")
def learned(digits: ImageDataset) -> Supernet:
    """Trained on digits: it cannot but serve them better than fresh weights do."""
    return pretrain(digits, CONFIG, budget=Budget(epochs=3), recipe=Recipe(), device="cpu").supernet


@pytest.fixture(scope="session")
def entrants(learned: Supernet) -> list[Entrant]:
    fresh = [Supernet.create(CONFIG, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 3)]
    sources = {"a": fresh[0], "b": fresh[1], "learned": learned, "c": fresh[2], "scratch": CONFIG}
    return [Entrant(id, source, RECIPE) for id, source in sources.items()]
