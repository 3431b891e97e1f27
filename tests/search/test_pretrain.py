"""Supernets of one dataset and of several: what they learn, what is said of them, and how a run goes on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import Limits, derived_size
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.heads import split_by_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.budget import Budget
from snt_zoo.search.pretrain import accuracies
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.cases import make_searcher
from tests.search.runs import CONFIG, KilledError, interrupt_after, killed_and_resumed, pretrain, same_weights

RECIPE = Recipe(batch_size=64, warmup_share=0.2, datasets_per_step=2, weight_lr=0.05)
LEARNING = replace(RECIPE, batch_size=32, weight_lr=0.1, alpha_share=0.1, augmentation="none")


@pytest.mark.parametrize(("rate", "epochs", "warned"), [(1e-7, 1, True), (0.1, 3, False)])
def test_one_that_only_guesses_comes_with_a_warning(
    digits: ImageDataset, rate: float, epochs: int, warned: bool
) -> None:
    recipe = replace(Recipe(), weight_lr=rate)
    made = pretrain(digits, CONFIG, budget=Budget(epochs=epochs), recipe=recipe)
    found = [text for text in made.warnings if "no better than guessing" in text]
    assert bool(found) == warned, made.val_accuracy
    assert all(f"{made.val_accuracy:.1%}" in text and "lower rate" in text for text in found)


def test_several_datasets_are_learned_at_once(both: ImageDataset) -> None:
    made = pretrain(both, CONFIG, budget=Budget(epochs=12), recipe=LEARNING)
    assert made.supernet.config.heads == both.heads == (10, 10)
    assert len(made.sources) == 2
    # Guessing has 0.1; with one softmax for all an image of one would also compete with the other's classes.
    assert min(source.val for source in made.sources) > 0.4
    assert made.val_accuracy == pytest.approx(sum(source.val for source in made.sources) / 2)
    assert made.test_accuracy == pytest.approx(sum(source.test for source in made.sources) / 2)


def test_its_accuracies_are_those_after_measuring_each_dataset(both: ImageDataset) -> None:
    config = replace(CONFIG, num_classes=both.num_classes, heads=both.heads)
    net = make_searcher("gdas", config, both).supernet
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
    several = replace(RECIPE, conflict=conflict, datasets_per_step=2 if conflict != "mean" else 1)
    options: dict[str, Any] = {"budget": Budget(epochs=2), "recipe": several}
    whole = pretrain(both, CONFIG, **options)
    again = killed_and_resumed(both, CONFIG, tmp_path, monkeypatch, steps=8, **options)
    assert same_weights(whole.supernet, again.supernet)
    assert again.sources == whole.sources


def test_an_interrupted_pretraining_goes_on_with_the_same_bits(
    tmp_path: Path, few_digits: ImageDataset
) -> None:
    options = {"budget": Budget(epochs=3), "recipe": Recipe(batch_size=64)}
    whole = pretrain(few_digits, CONFIG, **options)
    with pytest.raises(KilledError):
        pretrain(few_digits, CONFIG, folder=tmp_path, on_epoch=interrupt_after(2), **options)
    resumed = pretrain(few_digits, CONFIG, folder=tmp_path, resume=True, **options)
    assert same_weights(whole.supernet, resumed.supernet)
    assert (whole.val_accuracy, whole.test_accuracy) == (resumed.val_accuracy, resumed.test_accuracy)


def test_a_pretrained_supernet_keeps_its_bound_when_it_is_stored(few_digits: ImageDataset) -> None:
    config = TINY["nas_bench_201"]
    costs = config.build_space().costs(16)
    limits = Limits(max_macs=costs.fixed_macs + 64 * 10 + int(costs.macs["cell"][0].max()))
    made = pretrain(few_digits, config, budget=Budget(epochs=1), recipe=Recipe(batch_size=64), limits=limits)
    stored = Supernet(made.supernet.config)
    stored.load_state_dict(made.supernet.state_dict())
    assert stored.bound is None
    assert derived_size(stored.config, stored.genotype())[1] <= limits.max_macs  # type: ignore[operator]
    assert made.search["constraints"]["macs"] == derived_size(stored.config, stored.genotype())[1]
