"""Steps that are replayed from a CUDA graph are the steps that they were recorded from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.step_graph import RECORDED_AT, StepGraphs
from tests.conftest import TINY

CUDA = torch.device("cuda")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA GPU")


def learner_of(data: ImageDataset, space: str = "nas_bench_201", average: float = 0.9) -> WeightLearner:
    net = Supernet.create(TINY[space], generator=torch.Generator().manual_seed(0))
    if torch.cuda.is_available():
        net.placed(CUDA)
    options: dict[str, Any] = {
        "recipe": Recipe(batch_size=64, average=average),
        "generator": torch.Generator(),
        "peak_lr": 0.01,
    }
    return WeightLearner(DerivedModel.inherit(net), data.train, **options)


def test_on_a_cpu_nothing_is_recorded(few_digits: ImageDataset) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert learner_of(few_digits).graphs is None


def test_nothing_is_recorded_where_memory_is_short(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (399, 1000))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 400)
    learner = learner_of(few_digits)
    graphs = StepGraphs(learner.network, learner.loss, learner.parameters)
    batch = next(learner.batches)
    for _ in range(RECORDED_AT):
        assert not graphs.broken
        assert graphs.gradients(*batch) is None
    assert graphs.broken


@on_gpu
@pytest.mark.parametrize("space", sorted(TINY))
def test_replayed_steps_train_as_the_others_do(space: str, few_digits: ImageDataset) -> None:
    graphed, plain = learner_of(few_digits, space), learner_of(few_digits, space)
    plain.graphs = None
    losses = [learner.epoch(lambda: 0.1, steps=2 * RECORDED_AT) for learner in (graphed, plain)]
    assert graphed.graphs is not None
    assert not graphed.graphs.broken
    assert graphed.graphs.recorded == 1
    assert losses[0] == pytest.approx(losses[1], rel=0.02)  # bfloat16, and sums in another order
    pairs = zip(graphed.network.state_dict().items(), plain.network.state_dict().values(), strict=True)
    for (name, left), right in pairs:
        scale = right.float().abs().max().clamp_min(1e-3)
        assert ((left - right).float().abs().max() / scale).item() < 0.1, name
        if name.endswith("num_batches_tracked"):
            assert left.item() == right.item(), name  # no warm-up counts


@on_gpu
def test_gradients_are_those_of_the_batch_that_was_given(few_digits: ImageDataset) -> None:
    learner = learner_of(few_digits)
    assert learner.graphs is not None
    images, labels = next(learner.batches)
    for _ in range(RECORDED_AT - 1):
        assert learner.graphs.gradients(images, labels) is None
    for batch in ((images, labels), (images.flip(0), labels.flip(0)), (images * 0.5, labels)):
        replayed = learner.graphs.gradients(*batch)
        assert replayed is not None
        gradients = [each.clone() for each in replayed[1]]
        expected = torch.autograd.grad(learner.graphs.loss_of(*batch), learner.parameters)
        for mine, theirs in zip(gradients, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.02 * theirs.abs().max().item() + 1e-6)


@on_gpu
def test_what_cannot_be_recorded_is_trained_as_before(few_digits: ImageDataset) -> None:
    learner = learner_of(few_digits)
    assert learner.graphs is not None
    plain = learner.graphs.loss_of

    def reading(images: Tensor, labels: Tensor) -> Tensor:
        loss = plain(images, labels)
        return loss if loss.item() > -1 else -loss  # a read cannot be recorded

    learner.graphs.loss_of = reading
    before = {name: value.clone() for name, value in learner.network.named_buffers()}
    batch = next(learner.batches)
    for _ in range(RECORDED_AT):
        assert learner.graphs.gradients(*batch) is None
    assert learner.graphs.broken
    for name, value in learner.network.named_buffers():
        assert torch.equal(value, before[name]), name
    assert learner.epoch(lambda: 0.1) > 0
