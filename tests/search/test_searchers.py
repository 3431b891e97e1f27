"""What a training step may and may not touch, and that it learns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError, UnknownComponentError
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher, get_searcher, list_searchers, register_searcher
from snt_zoo.search.searchers.gdas import PathSearcher
from snt_zoo.search.supernet import NetworkConfig, Supernet
from tests.conftest import TINY


def make_searcher(
    name: str, config: NetworkConfig, data: ImageDataset, *, recipe: Recipe | None = None
) -> Searcher:
    generator = torch.Generator().manual_seed(0)
    net = Supernet.create(config, generator=generator)
    recipe = Recipe(batch_size=32, warmup_share=0.5) if recipe is None else recipe
    return get_searcher(name)(net, data.train, data.val, recipe=recipe, generator=generator, peak_lr=0.05)


@pytest.mark.parametrize("name", list_searchers())
def test_alphas_move_only_after_the_warm_up_and_weights_always(
    name: str, tiny_config: NetworkConfig, few_digits: ImageDataset
) -> None:
    searcher = make_searcher(name, tiny_config, few_digits)
    alphas = [alpha.detach().clone() for alpha in searcher.alphas]
    weights = [weight.detach().clone() for weight in searcher.parameters]
    searcher.epoch(lambda: 0.0)
    assert all(torch.equal(a, b) for a, b in zip(alphas, searcher.alphas, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights, searcher.parameters, strict=True))
    searcher.epoch(lambda: 0.6)
    assert all(not torch.equal(a, b) for a, b in zip(alphas, searcher.alphas, strict=True))


@pytest.mark.parametrize("name", list_searchers())
def test_an_alpha_step_leaves_the_weights_alone(
    name: str, tiny_config: NetworkConfig, few_digits: ImageDataset
) -> None:
    searcher = make_searcher(name, tiny_config, few_digits)
    weights = [weight.detach().clone() for weight in searcher.parameters]
    images, labels = next(searcher.loader(few_digits.val))
    searcher._alpha_step(images, labels)
    assert all(torch.equal(a, b) for a, b in zip(weights, searcher.parameters, strict=True))
    assert all(weight.grad is None for weight in searcher.parameters)


def test_darts_alpha_gradient_equals_finite_differences(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", TINY["nas_bench_201"], few_digits)
    net = searcher.supernet.double().eval()  # eval: batch statistics would couple the images
    images, labels = next(searcher.loader(few_digits.val))
    images = images.double()
    alpha = searcher.alphas[0]

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(searcher.alpha_outputs(images), labels)

    (gradient,) = torch.autograd.grad(loss(), [alpha])
    with torch.no_grad():
        for row, column in ((0, 3), (2, 1), (5, 4)):
            step = 1e-5
            alpha[row, column] += step
            above = loss()
            alpha[row, column] -= 2 * step
            below = loss()
            alpha[row, column] += step
            expected = (above - below) / (2 * step)
            torch.testing.assert_close(gradient[row, column], expected, rtol=1e-4, atol=1e-9)
    assert net is searcher.supernet


def test_gdas_draws_operations_with_the_softmax_of_the_alphas(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    assert isinstance(searcher, PathSearcher)
    with torch.no_grad():
        searcher.alphas[0].zero_()
        searcher.alphas[0][:, 3] = 2.0
        searcher.alphas[0][:, 0] = -20.0  # without `none` every edge is live and the guard is silent
        searcher.alphas[0][:, 1] = -20.0
    draws = torch.tensor([searcher._sample()[1]["cell"] for _ in range(2000)])
    found = torch.stack([(draws == operation).double().mean(0) for operation in range(5)], 1)
    expected = searcher.alphas[0].double().softmax(1)
    assert float((found - expected).detach().abs().max()) < 0.05  # 4 standard deviations of 2000 draws


def test_gdas_passes_gradients_along_the_sampled_path(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    images, _ = next(searcher.loader(few_digits.val))
    (gradient,) = torch.autograd.grad(searcher.alpha_outputs(images).square().sum(), searcher.alphas)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    # A softmax row's gradient sums to zero: raising all alphas of an edge changes nothing.
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", list_searchers())
def test_training_lowers_the_loss(name: str, few_digits: ImageDataset) -> None:
    searcher = make_searcher(name, TINY["nas_bench_201"], few_digits)
    with torch.no_grad():
        searcher.alphas[0][:, 3] = 3.0  # mostly one path: else the noise of sampling hides the progress
    losses = [searcher.epoch(lambda: 0.2) for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_divergence_is_an_error_that_says_what_to_do(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    with torch.no_grad():
        searcher.supernet.head.weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="lower the learning rate"):
        searcher.epoch(lambda: 0.0)


def test_an_epoch_stops_when_the_budget_is_spent(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    steps: list[float] = []
    original = searcher.step

    def counted(images: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        steps.append(progress)
        return original(images, labels, progress)

    searcher.step = counted  # type: ignore[method-assign]
    times = iter([0.9, 0.95, 1.0, 1.1, 1.2, 1.3, 1.4])
    searcher.epoch(lambda: next(times))
    assert steps == [0.9, 0.95]


def test_searchers_are_found_by_name() -> None:
    assert list_searchers() == ["darts", "gdas"]
    with pytest.raises(UnknownComponentError, match="choose one of darts, gdas"):
        get_searcher("random")
    with pytest.raises(ValueError, match="registered already"):
        register_searcher("gdas")(PathSearcher)


def test_a_searcher_is_used_by_its_recipe(
    few_digits: ImageDataset, make_supernet: Callable[..., Supernet]
) -> None:
    from snt_zoo.search.budget import Budget
    from snt_zoo.search.finetune import finetune

    for name in list_searchers():
        result = finetune(
            few_digits,
            make_supernet(TINY["nas_bench_201"]),
            budget=Budget(epochs=1),
            recipe=Recipe(searcher=name, batch_size=64),
            device="cpu",
        )
        assert f"searcher='{name}'" in result.settings["recipe"]
