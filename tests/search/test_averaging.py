"""The average of the weights: what it holds, what is kept, and how a run goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.runs import killed_and_resumed, pretrain, same_weights

from .cases import make_searcher

CONFIG = TINY["nas_bench_201"]


@pytest.mark.parametrize("searcher", ["gdas", "darts"])
def test_it_is_the_exponential_average_of_the_weights(few_digits: ImageDataset, searcher: str) -> None:
    learner = make_searcher(searcher, CONFIG, few_digits, average=0.5, warmup_share=0.0)
    wanted: list[torch.Tensor] = []
    for step in range(6):
        learner.epoch(lambda: 0.2, steps=1)
        now = [parameter.detach().clone() for parameter in learner.parameters]
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = [old + (1 - decay) * (new - old) for old, new in zip(wanted or now, now, strict=True)]
    assert learner.average is not None
    found = learner.average.network
    kept = [*found.trunk.parameters(), *found.head.parameters()]
    for old, new in zip(wanted, kept, strict=True):
        assert torch.allclose(old, new, atol=1e-6)
    assert not all(torch.equal(a, b) for a, b in zip(kept, learner.parameters, strict=True))


def test_its_alphas_are_those_of_now_and_its_norms_are_its_own(few_digits: ImageDataset) -> None:
    learner = make_searcher("gdas", CONFIG, few_digits, average=0.9, warmup_share=0.0)
    learner.epoch(lambda: 0.2, steps=6)
    assert learner.average is not None
    found = learner.average.measured(learner.network, few_digits.train)
    for kind, alpha in learner.supernet.alphas.items():
        assert torch.equal(found.alphas[kind], alpha)  # type: ignore[union-attr, index]
    before = {name: tensor.clone() for name, tensor in found.state_dict().items()}
    recalibrate(found, few_digits.train)  # they were measured on the same images: nothing changes
    for name, tensor in found.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, before[name]), name
    # The network itself is left as training had it.
    assert learner.network is not found and learner.network.training


@pytest.mark.parametrize(("own", "averaged"), [(0.5, 0.4), (0.5, 0.5), (0.3, 0.4)])
def test_the_better_one_is_kept(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch, own: float, averaged: float
) -> None:
    learner = make_searcher("gdas", CONFIG, few_digits, average=0.9)
    assert learner.average is not None
    learner.epoch(lambda: 0.0)
    answers = {id(learner.network): own, id(learner.average.network): averaged}
    monkeypatch.setattr("snt_zoo.search.learners.evaluate", lambda network, *_, **__: answers[id(network)])
    assert learner.evaluate(few_digits.val) == max(own, averaged)
    assert (learner.candidate() is learner.network) == (own > averaged)  # of equals the average


def test_a_network_whose_average_is_ahead_is_looked_at_less_often(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make_searcher("gdas", CONFIG, few_digits, average=0.9)
    assert learner.average is not None
    learner.epoch(lambda: 0.0)
    own, asked = iter([0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1]), []

    def answer(network: object, *_: object, **__: object) -> float:
        asked.append(network is learner.network)
        return next(own) if network is learner.network else 0.5

    monkeypatch.setattr("snt_zoo.search.learners.evaluate", answer)
    looked = []
    for _ in range(12):
        asked.clear()
        learner.evaluate(few_digits.val)
        looked.append(any(asked))
    # Behind once, then ahead: every time at first, then every third; behind again, and it begins anew.
    assert looked == [True] * 5 + [False, False, True, False, False, True, True]
    fresh = make_searcher("gdas", CONFIG, few_digits, average=0.9)
    fresh.load_state(learner.state())
    assert fresh._ahead == learner._ahead == 1
    fresh.load_state({name: tensor for name, tensor in learner.state().items() if name != "ahead"})
    assert fresh._ahead == 0  # as in checkpoints of earlier versions


def test_what_is_kept_is_what_was_evaluated(few_digits: ImageDataset) -> None:
    recipe = Recipe(batch_size=64, average=0.9, warmup_share=0.0)
    made = pretrain(few_digits, CONFIG, budget=Budget(epochs=2), recipe=recipe)
    assert made.val_accuracy == evaluate(made.supernet, few_digits.val)


def test_a_run_with_an_average_goes_on_with_the_same_bits(
    few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(batch_size=50, average=0.9, warmup_share=0.2)
    options: dict[str, Any] = {"budget": Budget(epochs=3), "recipe": recipe}
    whole = pretrain(few_digits, CONFIG, **options)
    again = killed_and_resumed(few_digits, CONFIG, tmp_path, monkeypatch, steps=3, **options)
    assert same_weights(whole.supernet, again.supernet)
