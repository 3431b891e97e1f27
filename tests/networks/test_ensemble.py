"""Pools against slower ways to the same numbers, and what an ensemble answers against its members."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble, Pool, fit_pool
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate, input_sizes, logits, predict
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.conftest import TINY


def drawn(seed: int, *, n: int = 80, classes: int = 4, known: float = 1.5) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of two networks that each know something of the labels, and these."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    right = torch.nn.functional.one_hot(labels, classes)
    one, two = (known * right + torch.randn(n, classes, generator=generator) for _ in range(2))
    return one, two, labels


def penalised(weights: tuple[float, ...], each: list[Tensor], labels: Tensor) -> float:
    """The negative log of the posterior, in plain words."""
    summed = sum(w * of.double().log_softmax(1) for w, of in zip(weights, each, strict=True))
    assert isinstance(summed, Tensor)
    likelihood = torch.nn.functional.cross_entropy(summed, labels, reduction="sum")
    prior = (1.0, *(0.0 for _ in weights[1:]))
    return float(likelihood) + sum((w - p) ** 2 for w, p in zip(weights, prior, strict=True)) / 2


@pytest.mark.parametrize("seed", range(4))
def test_the_weights_are_the_most_likely_ones(seed: int) -> None:
    one, two, labels = drawn(seed)
    pool = fit_pool([one, two], labels)
    a, b = pool.weights.tolist()
    best = penalised((a, b), [one, two], labels)
    for x, y in product(np.linspace(0, 2.5, 26), repeat=2):
        assert best <= penalised((float(x), float(y)), [one, two], labels) + 1e-6
    for x, y in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert best <= penalised((a + x, b + y), [one, two], labels) + 1e-6
    summed = a * one.log_softmax(1) + b * two.log_softmax(1)
    assert pool.accuracy == pytest.approx(float((summed.argmax(1) == labels).float().mean()))
    expected = torch.nn.functional.cross_entropy(summed, labels)
    assert pool.cross_entropy == pytest.approx(float(expected), rel=1e-5)


def test_one_that_knows_nothing_gets_no_say() -> None:
    one, _, labels = drawn(0, n=2000)
    noise = torch.randn(2000, 4, generator=torch.Generator().manual_seed(9))
    pool, alone = fit_pool([one, 0.1 * noise], labels), fit_pool([one], labels)
    assert pool.weights[1] < 0.3 and pool.weights[0] == pytest.approx(float(alone.weights[0]), rel=0.02)
    assert not pool.clearly_better_than(alone) and not alone.clearly_better_than(pool)
    # Nor one that is always wrong: a weight is not below 0.
    assert fit_pool([one, -one], labels).weights[1] == 0.0


def test_two_that_know_different_things_are_clearly_better() -> None:
    one, two, labels = drawn(1, n=400)
    pool = fit_pool([one, two], labels)
    for alone in (fit_pool([one], labels), fit_pool([two], labels)):
        assert pool.clearly_better_than(alone) and not alone.clearly_better_than(pool)
        assert pool.accuracy > alone.accuracy
    # What they say does not change by a constant for each image, or a class that is out of the question.
    moved = fit_pool([one + 5, two - torch.arange(400.0)[:, None]], labels)
    torch.testing.assert_close(moved.weights, pool.weights, rtol=1e-3, atol=1e-3)


def test_few_images_and_images_without_an_error_leave_the_weights_near_the_first_alone() -> None:
    one, two, labels = drawn(2, n=2)
    few = fit_pool([one, two], labels)
    assert abs(float(few.weights[0]) - 1) < 0.8 and float(few.weights[1]) < 0.8
    certain = 30 * torch.nn.functional.one_hot(torch.arange(4).repeat(50)).float()
    perfect = fit_pool([certain, certain], torch.arange(4).repeat(50))
    assert perfect.weights.tolist() == pytest.approx([1.0, 0.0], abs=1e-3) and perfect.accuracy == 1.0
    single = Pool(few.weights, few.losses[:1], 1.0)
    assert not single.clearly_better_than(Pool(few.weights, few.losses[:1] + 9, 0.0))  # of one no error bar


def test_clearly_is_two_standard_errors_of_the_difference() -> None:
    base = torch.tensor([0.0, 1.0, 2.0, 3.0] * 25, dtype=torch.float64)
    gain = torch.tensor([0.0, 0.2] * 50, dtype=torch.float64)
    error = float(gain.std()) / math.sqrt(100)
    assert float(gain.mean()) > 2 * error
    better, other = (Pool(torch.ones(1), losses, 0.5) for losses in (base - gain, base))
    assert better.clearly_better_than(other)
    noisy = gain + torch.tensor([3.0, -3.0] * 50, dtype=torch.float64)
    assert not Pool(torch.ones(1), base - noisy, 0.5).clearly_better_than(other)


@pytest.fixture(scope="module")
def members() -> list[DerivedModel]:
    """Two networks for images of 16 and of 24 pixels."""
    made = []
    for seed, size in ((0, 16), (1, 24)):
        config = NetworkConfig("nas_bench_201", TINY["nas_bench_201"].hyperparameters, 10, size)
        supernet = Supernet.create(config, generator=torch.Generator().manual_seed(seed))
        made.append(DerivedModel.inherit(supernet).eval())
    return made


def test_an_ensemble_answers_by_its_members_each_with_images_of_its_size(
    few_digits: ImageDataset, members: list[DerivedModel]
) -> None:
    ensemble = Ensemble(members, torch.tensor([0.7, 0.4])).eval()
    each = [logits(member, few_digits.test) for member in members]
    expected = 0.7 * each[0].log_softmax(1) + 0.4 * each[1].log_softmax(1)
    right = float((expected.argmax(1) == few_digits.test.labels).float().mean())
    assert evaluate(ensemble, few_digits.test) == pytest.approx(right)
    assert input_sizes(ensemble) == (16, 24) and input_sizes(members[0]) == (16,)
    batches = [few_digits.test.tensor(size) for size in (16, 24)]
    torch.testing.assert_close(predict(ensemble, *batches), expected.softmax(1))
    with pytest.raises(ValueError, match=r"each of the sizes \(16, 24\)"):
        predict(ensemble, *batches, *batches)
    with pytest.raises(ValueError, match="got 2 batches"):
        predict(members[0], *batches)
    assert count_parameters(ensemble) == sum(map(count_parameters, members))
    assert count_macs(ensemble) == sum(map(count_macs, members))
    # From pixels as they are: digits have 8 × 8. Resized as floats or as bytes they differ by a level.
    native = few_digits.test.tensor(8)
    torch.testing.assert_close(predict(ensemble, native), expected.softmax(1), rtol=0.05, atol=0.01)
    with torch.no_grad():
        torch.testing.assert_close(
            ensemble(native.float() / 255).softmax(1), expected.softmax(1), rtol=0.05, atol=0.01
        )


def test_an_ensemble_of_other_classes_or_weights_is_refused(members: list[DerivedModel]) -> None:
    with pytest.raises(ValueError, match="a weight for each of 2 members"):
        Ensemble(members, torch.ones(3))
    other = NetworkConfig("nas_bench_201", TINY["nas_bench_201"].hyperparameters, 4, 16)
    stranger = DerivedModel.inherit(Supernet.create(other, generator=torch.Generator()))
    with pytest.raises(ValueError, match=r"\[10, 4\] classes"):
        Ensemble([members[0], stranger], torch.ones(2))
