"""The second-order gradient of the alphas against autograd through the unrolled step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks.methods import second_order
from benchmarks.methods.second_order import SecondOrderSearcher
from snt_zoo.data import ImageDataset
from snt_zoo.networks.spaces.base import Owner, Rows, SupernetTrunk
from snt_zoo.networks.spaces.costs import Choice
from snt_zoo.networks.supernet import Supernet
from tests.conftest import TINY
from tests.search.cases import SearcherTestCase, make_searcher


class TestSecondOrder(SearcherTestCase):
    name = "darts-2nd"


LABELS = torch.tensor([0, 3, 1, 2])


class SmoothTrunk(SupernetTrunk):
    """Six edges of five operations that are smooth everywhere, in place of a cell with ReLU and pooling."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.zeros(6, 5, 8, 3))
        self.outer = nn.Parameter(torch.zeros(features, 8))

    def forward(
        self, x: Tensor, mixture: Mapping[str, Tensor] | None = None, choice: Choice | None = None
    ) -> Tensor:
        assert mixture is not None
        hidden = torch.tanh(torch.einsum("eohc,nc->neoh", self.inner, x.mean((2, 3))))
        mixed = torch.einsum("eo,neoh->nh", mixture["cell"], hidden)
        return torch.tanh(mixed @ self.outer.T)

    def inherit(self, derived: nn.Module, genotype: object) -> None:
        raise NotImplementedError

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        return {}


@pytest.fixture
def searcher(few_digits: ImageDataset) -> SecondOrderSearcher:
    made = make_searcher("darts-2nd", TINY["nas_bench_201"], few_digits, regularisers=())
    generator = torch.Generator().manual_seed(3)
    net = made.supernet
    net.trunk = SmoothTrunk(net.space.feature_dim)
    net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    found = SecondOrderSearcher(
        net, made.split, made.alpha_split, recipe=made.recipe, generator=generator, peak_lr=0.3
    )
    found.progress = 0.3
    found.set_rate(0.3)
    return found


def unrolled(searcher: SecondOrderSearcher, train: Tensor, val: Tensor, *, second: bool) -> Tensor:
    """d/dα of the alphas' loss after the optimizer's step, which autograd goes through."""
    net: Supernet = searcher.supernet
    names = [name for name, _ in net.named_parameters() if not name.startswith("alphas")]
    weights = [dict(net.named_parameters())[name] for name in names]
    alpha = searcher.alphas[0]

    def loss(values: Sequence[Tensor], images: Tensor, smoothing: float) -> Tensor:
        mixture = {"cell": alpha.softmax(-1)}
        out = functional_call(net, dict(zip(names, values, strict=True)), (images, mixture))
        return functional.cross_entropy(out, LABELS, label_smoothing=smoothing)

    recipe, (group,) = searcher.recipe, searcher.optimizer.param_groups
    slopes = torch.autograd.grad(loss(weights, train, recipe.label_smoothing), weights, create_graph=second)
    norm = torch.cat([slope.flatten() for slope in slopes]).norm()
    clip = torch.clamp(recipe.clip / (norm + 1e-6), max=1.0)
    stepped = []
    for weight, slope in zip(weights, slopes, strict=True):
        buffer = searcher.optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
        slope = clip * slope + recipe.weight_decay * weight
        velocity = recipe.momentum * buffer + slope
        stepped.append(weight - group["lr"] * (slope + recipe.momentum * velocity))
    (gradient,) = torch.autograd.grad(loss(stepped, val, 0.0), [alpha])
    return gradient


@pytest.mark.parametrize("clip", [1e9, 0.05])  # never, and always
@pytest.mark.parametrize("momentum", [False, True])
def test_the_gradient_is_that_of_the_unrolled_step(
    searcher: SecondOrderSearcher, monkeypatch: pytest.MonkeyPatch, clip: float, momentum: bool
) -> None:
    object.__setattr__(searcher.recipe, "clip", clip)
    generator = torch.Generator().manual_seed(4)
    train, val = (torch.randn(4, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    if momentum:
        searcher.step(train.flip(0), LABELS, 0.3)
        searcher.alpha_optimizer.zero_grad()
    exact = unrolled(searcher, train, val, second=True)
    first_order = unrolled(searcher, train, val, second=False)
    assert float((exact - first_order).norm() / exact.norm()) > 1e-3  # else there is nothing to test

    def error() -> float:
        (found,) = searcher.alpha_gradients((val, LABELS), (train, LABELS))
        assert found is not None
        return float((found - exact).norm() / exact.norm())

    assert error() < 1e-3  # the paper's radius
    monkeypatch.setattr(second_order, "RADIUS", 1e-4)
    assert error() < 1e-7  # a difference quotient's error falls with its square


def test_the_virtual_step_is_the_optimizers(searcher: SecondOrderSearcher) -> None:
    generator = torch.Generator().manual_seed(5)
    searcher.step(torch.randn(4, 3, 4, 4, generator=generator, dtype=torch.float64), LABELS, 0.3)
    before = [weight.detach().clone() for weight in searcher.parameters]
    slopes = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in searcher.parameters]
    expected = searcher._virtual_step(slopes)
    for weight, slope in zip(searcher.parameters, slopes, strict=True):
        weight.grad = slope.clone()
    searcher.update()
    for weight, old, step in zip(searcher.parameters, before, expected, strict=True):
        torch.testing.assert_close(weight.detach(), old + step, rtol=1e-12, atol=1e-12)


def test_virtual_passes_leave_no_trace_in_the_statistics(few_digits: ImageDataset) -> None:
    from tests.search.cases import batch

    searcher = make_searcher("darts-2nd", TINY["nas_bench_201"], few_digits)
    searcher.supernet.train()
    buffers = [buffer.clone() for buffer in searcher.supernet.buffers()]
    searcher.alpha_gradients(batch(few_digits), batch(few_digits))
    assert all(torch.equal(a, b) for a, b in zip(buffers, searcher.supernet.buffers(), strict=True))
