"""A generalist: one trunk and one set of alphas, a head and batches of its own for each dataset."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.joining import join
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.heads import split_by_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.pretrain import accuracies
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import get_searcher
from tests.conftest import TINY
from tests.search.runs import pretrain

CONFIG = TINY["nas_bench_201"]
RECIPE = Recipe(batch_size=64, warmup_share=0.2, datasets_per_step=2, weight_lr=0.05)
LEARNING = replace(RECIPE, batch_size=32, weight_lr=0.1, alpha_share=0.1, augmentation="none")


def negative(split: Split) -> Split:
    class Negative:
        def __len__(self) -> int:
            return len(split)

        def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
            return 255 - split.images.read(indices, size)

    return Split(Negative(), split.labels)


@pytest.fixture(scope="module")
def both(digits: ImageDataset) -> ImageDataset:
    """Digits, and the same in negative with their classes the other way round."""

    def cut(split: Split, count: int) -> Split:
        return split.subset(torch.arange(min(count, len(split))))

    left = ImageDataset(
        "left", digits.class_names, cut(digits.train, 400), cut(digits.val, 100), cut(digits.test, 100)
    )
    parts = [Split(n.images, 9 - n.labels) for n in map(negative, (left.train, left.val, left.test))]
    return join([left, ImageDataset("right", digits.class_names, *parts)])


def searcher_of(data: ImageDataset, name: str = "gdas", **recipe: Any) -> Any:
    config = replace(CONFIG, num_classes=data.num_classes, heads=data.heads)
    generator = torch.Generator().manual_seed(0)
    net = Supernet.create(get_searcher(name).prepared(config), generator=generator)
    made = replace(RECIPE, searcher=name, **recipe)
    return get_searcher(name)(net, data.train, data.val, recipe=made, generator=generator, peak_lr=0.05)


def test_several_datasets_are_learned_at_once(both: ImageDataset) -> None:
    made = pretrain(both, CONFIG, budget=Budget(epochs=12), recipe=LEARNING, device="cpu")
    assert made.supernet.config.heads == both.heads == (10, 10)
    assert len(made.sources) == 2
    # Guessing has 0.1; with one softmax for all an image of one would also compete with the other's classes.
    assert min(source.val for source in made.sources) > 0.4
    assert made.val_accuracy == pytest.approx(sum(source.val for source in made.sources) / 2)
    assert made.test_accuracy == pytest.approx(sum(source.test for source in made.sources) / 2)


@pytest.mark.parametrize("searcher", ["gdas", "darts", "darts-2nd", "drnas"])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_searcher_trains_every_head(both: ImageDataset, searcher: str, mixed: bool) -> None:
    learner = searcher_of(both, searcher, mixed_batches=mixed, warmup_share=0.0)
    before = learner.supernet.head.weight.detach().clone()
    alphas = [alpha.detach().clone() for alpha in learner.alphas]
    learner.epoch(lambda: 0.5, steps=2)
    moved = (learner.supernet.head.weight - before).abs().sum(1)
    assert (moved > 0).all()
    assert any(not torch.equal(a, b) for a, b in zip(alphas, learner.alphas, strict=True))
    assert 0 <= learner.evaluate(both.val) <= 1


def test_a_batch_of_one_dataset_does_not_move_the_others_head(both: ImageDataset) -> None:
    learner = searcher_of(both, datasets_per_step=1)
    images, labels = next(learner.batches)
    drawn = set((labels >= 10).tolist())
    assert len(drawn) == 1  # all of one dataset
    _, gradients = learner.weight_gradients(images, labels)
    weight = gradients[-2]
    other = slice(0, 10) if drawn == {True} else slice(10, 20)
    assert weight is not None and not weight[other].any() and weight.any()


def test_its_accuracies_are_those_after_measuring_each_dataset(both: ImageDataset) -> None:
    net = searcher_of(both).supernet
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    val, _, sources = accuracies(net, both)
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())
    by_hand = []
    for train, part in zip(
        split_by_head(both.train, both.heads), split_by_head(both.val, both.heads), strict=True
    ):
        net.load_state_dict(before)
        recalibrate(net, train, max_images=256)
        by_hand.append(evaluate(net, part))
    assert [source.val for source in sources] == by_hand
    assert val == pytest.approx(sum(by_hand) / 2) and not math.isnan(val)


@pytest.mark.parametrize("conflict", ["mean", "clip", "pcgrad"])
def test_it_goes_on_from_a_checkpoint_with_the_same_bits(
    both: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conflict: str
) -> None:
    options: dict[str, Any] = {
        "budget": Budget(epochs=2),
        "recipe": replace(RECIPE, conflict=conflict, datasets_per_step=2 if conflict != "mean" else 1),
        "device": "cpu",
    }
    whole = pretrain(both, CONFIG, **options)
    original = WeightLearner.step
    made = 0

    def step(self: WeightLearner, images: Any, labels: Any, progress: float) -> Any:
        nonlocal made
        made += 1
        if made == 9:
            raise KeyboardInterrupt
        return original(self, images, labels, progress)

    with monkeypatch.context() as patch:
        patch.setattr("snt_zoo.search.run.CHECKPOINT_SECONDS", 0.0)
        patch.setattr(WeightLearner, "step", step)
        with pytest.raises(KeyboardInterrupt):
            pretrain(both, CONFIG, folder=tmp_path, **options)
    again = pretrain(both, CONFIG, folder=tmp_path, resume=True, **options)
    for name, tensor in whole.supernet.state_dict().items():
        assert torch.equal(tensor, again.supernet.state_dict()[name]), name
    assert again.sources == whole.sources
