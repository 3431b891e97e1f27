"""A regression is the minimum of the loss that it says, for the features as they came."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.logistic import LogisticRegressions


def pixels(data: ImageDataset, classes: int) -> tuple[Tensor, Tensor]:
    """Features of very different scale, and labels of the first classes."""
    part = data.train.subset((data.train.labels < classes).nonzero().flatten())
    x = part.tensor(8)[:, 0].flatten(1).float()
    return x * torch.linspace(0.1, 30, x.shape[1]) + 5, part.labels


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_no_small_change_makes_the_loss_smaller(digits: ImageDataset, classes: int) -> None:
    x, labels = pixels(digits, classes)
    weight, bias = LogisticRegressions(x, labels, classes, iterations=2000, tolerance=1e-7).fit(1e-2)
    mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-4)
    z = ((x - mean) / std).double()
    at = [(weight * std).double().requires_grad_(), (bias + weight @ mean).double().requires_grad_()]
    loss = torch.nn.functional.cross_entropy(z @ at[0].T + at[1], labels) + 0.005 * at[0].square().sum()
    assert max(float(part.abs().max()) for part in torch.autograd.grad(loss, at)) < 1e-5
    assert float((x @ weight.T + bias).argmax(1).eq(labels).double().mean()) > 0.97


def test_a_second_begins_where_the_first_ended_and_ends_where_it_would_have(digits: ImageDataset) -> None:
    x, labels = pixels(digits, 10)
    options = {"iterations": 2000, "tolerance": 1e-7}
    twice = LogisticRegressions(x, labels, 10, **options)  # type: ignore[arg-type]
    first = twice.fit(1.0)
    second = twice.fit(0.1)
    alone = LogisticRegressions(x, labels, 10, **options).fit(0.1)  # type: ignore[arg-type]
    assert float(second[0].norm()) > float(first[0].norm())
    assert torch.allclose(x @ second[0].T + second[1], x @ alone[0].T + alone[1], atol=0.05)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_a_class_without_an_image_is_never_named(digits: ImageDataset, classes: int) -> None:
    x, labels = pixels(digits, classes)
    weight, bias = LogisticRegressions(x, labels, 10, iterations=100, tolerance=1e-3).fit(1e-2)
    assert weight.shape == (10, x.shape[1]) and weight.dtype == torch.float32
    everywhere, _ = pixels(digits, 10)
    assert int((everywhere @ weight.T + bias).argmax(1).max()) < classes
    assert bool(weight.isfinite().all() and bias.isfinite().all())


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_features_that_are_no_numbers_are_told(spoilt: float) -> None:
    x = torch.rand(20, 4)
    x[:5, 2] = spoilt
    with pytest.raises(DivergenceError, match="overflow"):
        LogisticRegressions(x, torch.arange(20) % 2, 2, iterations=10, tolerance=1e-3)
