"""Lite0 is a candidate for photographs, at a size that suits budget and limits, and keeps its norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting import published
from snt_zoo.search.adapting.published import SIZES, SMALL, published_candidates
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY, MakeSupernet


def photographs(side: int = 224, count: int = 100) -> ImageDataset:
    pixels = torch.zeros(1, side, side, dtype=torch.uint8).expand(count, side, side)
    split = Split(ArrayStore(pixels), torch.arange(count) % 2)
    return ImageDataset("made", ("a", "b"), split, split, split)


def size_of(data: ImageDataset, *, seconds: float | None = None, limits: Limits | None = None) -> int:
    (candidate,) = published_candidates(data, {}, seconds=seconds, limits=limits or Limits())
    assert isinstance(candidate.source, Supernet)
    return candidate.source.config.input_size


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms an image at 160 pixels: 40 in training."""
    monkeypatch.setattr(published, "pace", lambda name, timer, exact: 0.01)


def test_small_images_have_no_such_candidate() -> None:
    assert published_candidates(photographs(64), {}, seconds=60.0, limits=Limits()) == []


def test_the_size_follows_budget_and_limits(paced: None) -> None:
    data = photographs()
    assert size_of(data) == SIZES[0]
    assert size_of(data, seconds=48.0) == 224  # 3 · 100 · 78.4 ms is 23.5 s
    assert size_of(data, seconds=46.0) == 192
    assert size_of(data, seconds=1.0) == SIZES[-1]
    assert size_of(data, limits=Limits(max_macs=100_000_000)) == 96
    assert size_of(data, limits=Limits(max_macs=60_000_000)) == SMALL[0]
    assert size_of(data, limits=Limits(max_macs=60_000_000), seconds=1.0) == SMALL[0]
    assert size_of(data, limits=Limits(max_macs=1_000_000)) == SIZES[-1]


def test_its_recipe_keeps_norms_unless_the_user_says_otherwise(paced: None) -> None:
    data = photographs()
    (plain,) = published_candidates(data, {}, seconds=60.0, limits=Limits())
    (changed,) = published_candidates(data, {"derived_lr": 0.1}, seconds=60.0, limits=Limits())
    assert plain.recipe.keep_norms and plain.recipe.derived_lr == 0.01
    assert changed.recipe.keep_norms and changed.recipe.derived_lr == 0.1


def test_norms_that_are_kept_stay_as_they_are(few_digits: ImageDataset, make_supernet: MakeSupernet) -> None:
    network = make_supernet(TINY["nas_bench_201"])
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        assert norm.running_mean is not None
        norm.running_mean.fill_(0.5)
    weight = norms[0].weight
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    learner = WeightLearner(
        network,
        few_digits.train,
        recipe=Recipe(average=0.5, batch_size=50),
        generator=torch.Generator(),
        peak_lr=0.05,
        keep_norms=True,
    )
    learner.epoch(lambda: 0.0, steps=3)
    learner.evaluate(few_digits.val)
    assert learner.average is not None
    for found in (network, learner.average.network):
        for name, tensor in found.named_buffers():
            assert torch.equal(tensor, before[name]), name
    assert weight is norms[0].weight and network.training


def test_its_licence_is_told(paced: None) -> None:
    (candidate,) = published_candidates(photographs(), {}, seconds=60.0, limits=Limits())
    assert candidate.licences == {"efficientnet_lite0": "Apache-2.0"}
