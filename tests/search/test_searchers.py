"""`tests/search/cases.py` for each searcher, and what is theirs alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks.spaces import Bound
from snt_zoo.search.searchers import get_searcher, list_searchers, register_searcher
from snt_zoo.search.searchers.gdas import PathSearcher
from tests.conftest import TINY
from tests.search.cases import SearcherTestCase, batch, make_searcher


class TestDarts(SearcherTestCase):
    name = "darts"


class TestPartialChannels(SearcherTestCase):
    name = "pc-darts"


class TestDirichlet(SearcherTestCase):
    name = "drnas"


class TestSampledPaths(SearcherTestCase):
    name = "gdas"


class TestSandwich(SearcherTestCase):
    name = "sandwich"


def test_every_searcher_has_its_case() -> None:
    shipped = {name for name in list_searchers() if get_searcher(name).__module__.startswith("snt_zoo.")}
    assert shipped <= {case.name for case in SearcherTestCase.__subclasses__()}


def test_darts_alpha_gradient_equals_finite_differences(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", TINY["nas_bench_201"], few_digits)
    searcher.supernet.double().eval()  # eval: batch statistics would couple the images
    images, labels = batch(few_digits)
    alpha = searcher.alphas[0]

    def loss() -> torch.Tensor:
        return searcher.alpha_loss(images.double(), labels, *searcher.alpha_inputs())

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


def test_gdas_draws_operations_with_the_softmax_of_the_alphas(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    assert isinstance(searcher, PathSearcher)
    with torch.no_grad():
        searcher.alphas[0].zero_()
        searcher.alphas[0][:, 3] = 2.0
        searcher.alphas[0][:, 0] = -20.0  # without `none` every edge is live and no path is refused
        searcher.alphas[0][:, 1] = -20.0
    draws = torch.tensor([searcher._sample()[1]["cell"] for _ in range(2000)])
    found = torch.stack([(draws == operation).double().mean(0) for operation in range(5)], 1)
    expected = searcher.alphas[0].double().softmax(1)
    assert float((found - expected).detach().abs().max()) < 0.05  # 4 standard deviations of 2000 draws


def test_gdas_passes_gradients_along_the_sampled_path(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    images, _ = batch(few_digits, 32)
    (gradient,) = torch.autograd.grad(searcher.alpha_outputs(images).square().sum(), searcher.alphas)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    # A softmax row's gradient sums to zero: raising all alphas of an edge changes nothing.
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6), atol=1e-3, rtol=0)


def test_pc_darts_makes_partial_channels_where_it_may_and_asks_for_them_where_not(
    few_digits: ImageDataset,
) -> None:
    prepared = get_searcher("pc-darts").prepared
    assert prepared(TINY["nas_bench_201"]).hyperparameters["partial_channels"] == 4
    assert prepared(TINY["nas_bench_201/partial"]).hyperparameters["partial_channels"] == 2
    searcher = make_searcher("darts", TINY["nas_bench_201"], few_digits)
    with pytest.raises(ConfigError, match="--set partial_channels=4"):
        get_searcher("pc-darts")(
            searcher.supernet,
            few_digits.train,
            few_digits.val,
            recipe=searcher.recipe,
            generator=torch.Generator(),
            peak_lr=0.1,
        )


def test_pc_darts_trains_the_weights_of_the_edges(few_digits: ImageDataset) -> None:
    searcher = make_searcher("pc-darts", TINY["nas_bench_201"], few_digits)
    gradients = searcher.alpha_gradients(batch(few_digits), batch(few_digits))
    edges = gradients[1]
    assert edges is not None and edges.shape == (6,)
    assert edges[0].abs() < 1e-6 * edges.abs().max()  # the only edge into node 1: zero but for rounding
    assert bool((edges[1:] != 0).all())
    for into in ([1, 3], [2, 4, 5]):  # a softmax over the edges into a node
        assert abs(float(edges[into].sum())) < 1e-6


def test_searchers_are_found_by_name() -> None:
    assert {"darts", "drnas", "gdas", "pc-darts", "sandwich"} <= set(list_searchers())
    with pytest.raises(UnknownComponentError, match="choose one of darts, "):
        get_searcher("random")
    with pytest.raises(ValueError, match="registered already"):
        register_searcher("gdas")(PathSearcher)


def test_only_paths_within_the_bound_are_sampled_once_warm(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    assert isinstance(searcher, PathSearcher)
    net = searcher.supernet
    space = net.space
    costs = space.costs(16)
    net.bound = Bound(costs, max_macs=costs.fixed_macs + int(costs.macs["cell"][0].max()))

    def allowed() -> list[bool]:
        paths = [searcher._sample()[1] for _ in range(60)]
        assert net.bound is not None
        return [net.bound.allows(space.pruned(path)) for path in paths]

    searcher.progress = 0.0
    assert not all(allowed())
    searcher.progress = 1.0
    assert all(allowed())
    assert len({tuple(searcher._sample()[1]["cell"]) for _ in range(60)}) > 10  # it still explores


def test_the_penalty_is_on_the_expected_macs_above_the_bound(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", TINY["nas_bench_201"], few_digits, macs_penalty=0.5)
    net = searcher.supernet
    assert float(searcher.penalty()) == 0.0  # without a bound
    with torch.no_grad():
        net.alphas["cell"].normal_(generator=torch.Generator().manual_seed(0))
    costs = net.space.costs(16)
    probabilities = net.alphas["cell"].softmax(1)
    expected = costs.fixed_macs + (probabilities * costs.macs["cell"]).sum()
    net.bound = Bound(costs, max_macs=int(expected) // 2)
    torch.testing.assert_close(searcher.penalty(), 0.5 * (expected / net.bound.max_macs).log())
    before = float(expected.detach())
    for _ in range(30):
        (slope,) = torch.autograd.grad(searcher.penalty(), searcher.alphas)
        with torch.no_grad():
            net.alphas["cell"] -= 0.5 * slope
    after = costs.fixed_macs + (net.alphas["cell"].softmax(1) * costs.macs["cell"]).sum()
    assert float(after.detach()) < 0.95 * before
    net.bound = Bound(costs, max_macs=10**9)
    assert float(searcher.penalty()) == 0.0
    # Of a latency likewise; here it counts what MACs count, and the penalties add up.
    timed = replace(costs, fixed_latency=costs.fixed_macs, latency=costs.macs)
    net.bound = Bound(timed, max_latency=int(after) // 2)
    alone = searcher.penalty()
    assert float(alone.detach()) > 0
    net.bound = Bound(timed, max_macs=int(after) // 2, max_latency=int(after) // 2)
    torch.testing.assert_close(searcher.penalty(), 2 * alone)
