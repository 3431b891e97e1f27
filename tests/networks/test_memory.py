"""Out of memory: smaller parts, the same gradients."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from snt_zoo.data import ImageDataset
from snt_zoo.errors import OutOfMemoryError
from snt_zoo.networks.evaluate import evaluate, features, recalibrate
from snt_zoo.networks.memory import accumulated, count_parts, halved, is_out_of_memory
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import load_checkpoint
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import get_searcher, list_searchers
from tests.conftest import TINY, MakeSupernet
from tests.search.runs import KilledError, finetune, interrupt_after, same_weights

CONFIG = TINY["nas_bench_201"]
OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)


def limit_memory(patch: pytest.MonkeyPatch, images: int, error: type[Exception] = OutOfMemory) -> list[int]:
    """Let every network refuse more images at once; returns the list of the batches that it has taken."""
    taken: list[int] = []

    def refuse(module: nn.Module, args: tuple[Any, ...]) -> None:
        if len(args[0]) > images:
            raise error("CUDA out of memory. Tried to allocate 20.00 MiB")
        taken.append(len(args[0]))

    build = Supernet.__init__

    def init(self: Supernet, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.trunk.register_forward_pre_hook(refuse)

    patch.setattr(Supernet, "__init__", init)
    return taken


@given(st.integers(1, 200), st.integers(2, 64))
def test_parts_are_as_large_as_they_may_be_and_hold_two_images(images: int, micro_batch: int) -> None:
    parts = torch.arange(images).tensor_split(count_parts(images, micro_batch))
    sizes = [len(part) for part in parts]
    assert sum(sizes) == images
    assert min(sizes) >= min(2, images)
    assert max(sizes) <= max(micro_batch, 3)  # three images cannot be two parts of two
    assert count_parts(images, None) == 1


def test_a_half_is_tried_until_two_images_do_not_fit() -> None:
    device = torch.device("cpu")
    assert [halved(64, parts, device) for parts in (1, 2, 4, 8)] == [32, 16, 8, 4]
    with pytest.raises(OutOfMemoryError, match="3 images at a time do not fit into the memory of cpu"):
        halved(3, 1, device)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (OutOfMemory("CUDA out of memory."), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; …)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_all_versions_are_recognised(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_gradients_of_the_parts_add_up_to_those_of_the_batch(parts: int) -> None:
    torch.manual_seed(0)
    used, unused = (nn.Parameter(torch.randn(12, 4, dtype=torch.float64)) for _ in range(2))
    images, labels = torch.randn(13, 3, 2, 2, dtype=torch.float64), torch.arange(13) % 4

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        penalty = used.square().mean()  # does not depend on the images: counts once, not once a part
        return nn.functional.cross_entropy(x.flatten(1) @ used, y) + penalty

    whole, expected = accumulated(loss_of, images, labels, [used, unused], parts=1)
    loss, gradients = accumulated(loss_of, images, labels, [used, unused], parts=parts)
    torch.testing.assert_close(loss, whole)
    assert expected[0] is not None and gradients[0] is not None
    torch.testing.assert_close(gradients[0], expected[0])
    assert gradients[1] is None and not loss.requires_grad


@pytest.mark.parametrize("searcher", list_searchers())
def test_steps_in_parts_are_the_steps_of_the_batch(searcher: str, few_digits: ImageDataset) -> None:
    """With the batch norms in eval mode, as statistics of a part are not those of the batch."""

    def trained(micro_batch: int | None) -> list[Tensor]:
        config = get_searcher(searcher).prepared(CONFIG)
        net = Supernet.create(config, generator=torch.Generator().manual_seed(0)).double()
        learner = get_searcher(searcher)(
            net,
            few_digits.train,
            few_digits.val,
            recipe=Recipe(searcher=searcher, batch_size=25, warmup_share=0.0),
            generator=torch.Generator().manual_seed(1),
            peak_lr=0.05,
        )
        learner.micro_batch = micro_batch
        net.eval()
        for _ in range(3):
            learner._calls = 0
            images, labels = next(learner.batches)
            alpha_images, targets = next(learner.alpha_batches)
            batch = (images.double(), labels)
            learner._alpha_step(alpha_images.double(), targets, training=batch)
            WeightLearner.step(learner, *batch, 0.2)
            learner.steps += 1
        return [tensor.detach() for tensor in net.parameters()]

    for whole, parts in zip(trained(None), trained(7), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def run(data: ImageDataset, **options: Any) -> FinetuneResult:
    recipe = Recipe(batch_size=40, warmup_share=0.0)
    return finetune(data, CONFIG, budget=Budget(epochs=2), recipe=recipe, **options)


@pytest.mark.parametrize("error", [OutOfMemory, RuntimeError])
def test_a_batch_that_does_not_fit_is_halved_and_told(
    few_digits: ImageDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    taken = limit_memory(monkeypatch, 12, error)
    with caplog.at_level(logging.WARNING):
        result = run(few_digits, folder=tmp_path)
    told = [record.getMessage() for record in caplog.records]
    # Once: it stays so.
    assert told == ["out of memory on cpu: going on with 10 images at a time (a batch stays 40)"]
    assert max(taken) <= 12
    document = result.to_json()
    assert document["micro_batch"] == {"search": 10, "derived": None}
    assert [r["micro_batch"] for r in document["history"]] == [10, 10, None, None]


def test_a_whole_run_in_parts_repeats_and_resumes(
    few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, 10)
    whole = run(few_digits)
    with pytest.raises(KilledError):
        run(few_digits, folder=tmp_path, on_epoch=interrupt_after(1))
    assert load_checkpoint(tmp_path)[0]["learner.counts"][2] == 10
    resumed = run(few_digits, folder=tmp_path, resume=True)
    assert same_weights(whole.model, resumed.model)


def test_no_memory_at_all_is_an_error_that_says_what_to_do(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, 1)
    with pytest.raises(OutOfMemoryError, match="choose smaller images or a smaller network"):
        run(few_digits)


def test_other_errors_pass(few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Supernet, *args: Any) -> Tensor:
        raise RuntimeError("something else")

    monkeypatch.setattr(Supernet, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        run(few_digits)


def test_evaluation_and_features_need_no_more_memory_than_there_is(
    few_digits: ImageDataset, make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make_supernet(replace(CONFIG, num_classes=10))
    accuracy, (expected, _) = evaluate(net, few_digits.train), features(net, few_digits.train)
    taken = limit_memory(monkeypatch, 60)
    limited = net.with_head(10, generator=torch.Generator())
    limited.load_state_dict(net.state_dict())
    assert evaluate(limited, few_digits.train) == accuracy
    found, labels = features(limited, few_digits.train)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(labels, few_digits.train.labels)
    recalibrate(limited, few_digits.train)
    assert max(taken) <= 60
