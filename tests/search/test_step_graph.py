"""Steps that are replayed from a CUDA graph are the steps that they were recorded from.

Without a GPU `replays` stands for the recorder: it computes anew what a graph would launch again. All that is
around it, and the numbers, are then those of a GPU in float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.data.seeding import derive_seed
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.spaces import Bound
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search import learners, step_graph
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher, get_searcher
from snt_zoo.search.searchers.drnas import dirichlet
from snt_zoo.search.step_graph import MOST_GRAPHS, RECORDED_AT, Found, StepGraphs
from tests.conftest import TINY
from tests.search.cases import make_searcher

CUDA = torch.device("cuda")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA GPU")
SOON = 2
"""`RECORDED_AT` on the CPU, where a recording costs nothing."""


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


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A recorder for the CPU, and what it was asked to do."""
    told: list[str] = []

    def record(function: Callable[[], Found], device: torch.device) -> tuple[Callable[[], None], Found]:
        function()  # a warm-up
        found = function()
        told.append("record")

        def again() -> None:
            told.append("replay")
            loss, gradients = function()
            for old, new in zip((found[0], *found[1]), (loss, *gradients), strict=True):
                if old is not None and new is not None:
                    old.copy_(new)

        return again, found

    monkeypatch.setattr(step_graph, "RECORDED_AT", SOON)
    monkeypatch.setattr(step_graph, "record", record)
    monkeypatch.setattr(step_graph, "has_room", lambda device: True)
    monkeypatch.setattr(learners, "recordable", lambda device: True)
    return told


def doubled(
    name: str, config: NetworkConfig, data: ImageDataset, *, device: str = "cpu", **recipe: Any
) -> Searcher:
    """A searcher in float64, images too, within a bound that costs."""
    generator = torch.Generator().manual_seed(0)
    net = Supernet.create(get_searcher(name).prepared(config), generator=generator).placed(device)
    costs = net.space.costs(config.input_size)
    expected = sum(float(table.double().mean(1).sum()) for table in costs.macs.values())
    net.bound = Bound(costs, max_macs=costs.fixed_macs + int(0.7 * expected))
    options = {"recipe": Recipe(**{"warmup_share": 0.0, "batch_size": 8} | recipe), "generator": generator}
    searcher = get_searcher(name)(net.double().train(), data.train, data.val, peak_lr=0.05, **options)
    searcher.alpha_batches = _Doubled(searcher.alpha_batches)  # type: ignore[assignment]
    searcher.batches = _Doubled(searcher.batches)  # type: ignore[assignment]
    return searcher


class _Doubled:
    """A stream in float64."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __next__(self) -> tuple[Tensor, Tensor]:
        images, labels = next(self.stream)
        return images.double(), labels

    @property
    def parts(self) -> tuple[int, ...]:
        return tuple(self.stream.parts)


def at_once(searcher: Searcher) -> None:
    """Let a searcher have its gradients by one backward pass through mixture and network."""

    def gradients(
        loss_of: Any,
        images: Tensor,
        labels: Tensor,
        parameters: Any,
        *,
        inputs: Any = tuple,
        graphs: Any = None,
    ) -> Found:
        searcher._calls += 1
        searcher.generator.manual_seed(step_seed(searcher))
        loss = loss_of(images, labels, *inputs())
        found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
        return loss.detach(), list(found)

    searcher.gradients = gradients  # type: ignore[method-assign]


def step_seed(searcher: Searcher) -> int:
    return derive_seed(searcher.seed, "step", searcher.steps, searcher._calls)


def trained(searcher: Searcher, steps: int, progress: float = 0.5) -> list[float]:
    """The losses of so many steps."""
    losses = []
    for _ in range(steps):
        searcher._calls = 0
        losses.append(float(searcher.step(*next(searcher.batches), progress)))
        searcher.steps += 1
    return losses


def same_to_rounding(left: Searcher, right: Searcher, error: float = 1e-12) -> None:
    mine = left.supernet.state_dict() | left.state()
    theirs = right.supernet.state_dict() | right.state()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=error, atol=error, msg=name)


SEARCHES = [
    *[("darts", space) for space in sorted(TINY)],
    ("drnas", "mobile"),
    ("drnas", "nas_bench_201"),
    ("pc-darts", "darts, partial"),
    ("pc-darts", "nas_bench_201/partial"),
]
"""Mixtures, and the spaces that they search."""

EVERYTHING = {"regularisers": ("skip-alarm", "early-stopping", "auxiliary-skip"), "dirichlet_kl": 0.1}


@pytest.mark.parametrize(("name", "space"), SEARCHES)
def test_a_search_by_replays_is_that_by_one_backward_pass(
    name: str, space: str, few_digits: ImageDataset, replays: list[str]
) -> None:
    replayed, plain = (doubled(name, TINY[space], few_digits, **EVERYTHING) for _ in range(2))
    at_once(plain)
    losses = [trained(searcher, SOON + 1) for searcher in (replayed, plain)]
    assert replays.count("record") == 2  # of a weight step and of an alpha step
    assert replays.count("replay") == 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    same_to_rounding(replayed, plain)
    assert replayed.alphas[0].any() and plain.penalty() > 0


@pytest.mark.parametrize("name", ["darts", "gdas", "sandwich"])
def test_steps_along_a_settled_path_are_replayed(
    name: str, few_digits: ImageDataset, replays: list[str]
) -> None:
    how = {"settle_share": 0.4, "selection": "alpha"}
    replayed, plain = (doubled(name, TINY["nas_bench_201"], few_digits, **how) for _ in range(2))
    at_once(plain)
    for searcher in (replayed, plain):
        trained(searcher, 1)
    assert not replays
    losses = [trained(searcher, SOON + 1, 0.7) for searcher in (replayed, plain)]
    assert replays == ["record", "replay", "replay"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    same_to_rounding(replayed, plain)


@pytest.mark.parametrize("name", ["gdas", "sandwich"])
def test_sampled_paths_are_not_recorded(name: str, few_digits: ImageDataset, replays: list[str]) -> None:
    searcher = make_searcher(name, TINY["nas_bench_201"], few_digits, warmup_share=0.0)
    trained(searcher, SOON + 1)
    assert not replays


@pytest.mark.parametrize("mixed", [False, True])
def test_the_heads_of_several_datasets_are_trained_by_replays(
    mixed: bool, both: ImageDataset, replays: list[str]
) -> None:
    config = replace(TINY["nas_bench_201"], num_classes=both.num_classes, heads=both.heads)
    how = {"datasets_per_step": 2, "mixed_batches": mixed}
    replayed, plain = (doubled("darts", config, both, **how) for _ in range(2))
    at_once(plain)
    losses = [trained(searcher, SOON + 1) for searcher in (replayed, plain)]
    assert replays.count("record") == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    same_to_rounding(replayed, plain)


def test_a_recording_leaves_no_trace(few_digits: ImageDataset, replays: list[str]) -> None:
    searcher = doubled("darts", TINY["nas_bench_201"], few_digits)
    images, labels = next(searcher.batches)
    graphs = searcher.graphs
    assert graphs is not None
    for _ in range(SOON - 1):
        assert graphs.gradients(images, labels, searcher.inputs()) is None
    before = [buffer.clone() for buffer in searcher.supernet.buffers()]
    assert graphs.gradients(images, labels, searcher.inputs()) is not None
    counted = [b for b in searcher.supernet.buffers() if b.dtype == torch.int64]
    old = [b for b in before if b.dtype == torch.int64]
    assert [int(b) for b in counted] == [int(b) + 1 for b in old]  # the replay, and no warm-up
    assert all(parameter.requires_grad for parameter in searcher.supernet.parameters())


def test_there_are_no_more_graphs_than_that(few_digits: ImageDataset, replays: list[str]) -> None:
    searcher = doubled("darts", TINY["nas_bench_201"], few_digits)
    images, labels = next(searcher.batches)
    graphs = searcher.graphs
    assert graphs is not None
    for size in range(4, 4 + MOST_GRAPHS + 1):
        for _ in range(SOON):
            found = graphs.gradients(images[:size], labels[:size], searcher.inputs())
        assert (found is None) == (size == 4 + MOST_GRAPHS)
    assert graphs.recorded == MOST_GRAPHS


def test_a_search_whose_recording_fails_goes_on_as_before(
    few_digits: ImageDataset, replays: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(function: Callable[[], Found], device: torch.device) -> Any:
        function()
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(step_graph, "record", refused)
    broken, plain = (doubled("drnas", TINY["nas_bench_201"], few_digits) for _ in range(2))
    at_once(plain)
    for searcher in (broken, plain):
        trained(searcher, SOON + 1)
    assert broken.graphs is not None and broken.graphs.broken
    assert broken.alpha_graphs is not None and broken.alpha_graphs.broken
    same_to_rounding(broken, plain)


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


@on_gpu
@pytest.mark.parametrize(("name", "space"), SEARCHES)
def test_a_search_on_a_gpu_is_that_by_one_backward_pass(
    name: str, space: str, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learners, "mixed_precision", lambda device: contextlib.nullcontext())
    how = EVERYTHING | {"batch_size": 20}  # as many images in every batch
    replayed, plain = (doubled(name, TINY[space], few_digits, device="cuda", **how) for _ in range(2))
    at_once(plain)
    losses = [trained(searcher, RECORDED_AT + 2) for searcher in (replayed, plain)]
    for graphs in (replayed.graphs, replayed.alpha_graphs):
        assert graphs is not None and not graphs.broken and graphs.recorded == 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-7)
    same_to_rounding(replayed, plain, 1e-7)


@on_gpu
@pytest.mark.parametrize(("name", "space"), SEARCHES)
def test_a_search_in_mixed_precision_is_recorded(name: str, space: str, few_digits: ImageDataset) -> None:
    config = get_searcher(name).prepared(TINY[space])
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0), device=CUDA)
    recipe = Recipe(batch_size=20, warmup_share=0.0)
    options: dict[str, Any] = {"recipe": recipe, "generator": torch.Generator(), "peak_lr": 0.01}
    searcher = get_searcher(name)(net, few_digits.train, few_digits.val, **options)
    assert 0 < searcher.epoch(lambda: 0.5, steps=2 * RECORDED_AT) < 10
    for graphs in (searcher.graphs, searcher.alpha_graphs):
        assert graphs is not None and not graphs.broken and graphs.recorded == 1


@on_gpu
def test_a_gpu_draws_a_dirichlet_distribution() -> None:
    table = torch.tensor([[0.5, 2.0, 1.0]], device=CUDA).repeat(20_000, 1)
    drawn, again = (dirichlet(table, generator=torch.Generator(CUDA).manual_seed(1)) for _ in range(2))
    assert torch.equal(drawn, again)
    expected = torch.tensor([0.5, 2.0, 1.0], device=CUDA) / 3.5
    torch.testing.assert_close(drawn.mean(0), expected, atol=0.01, rtol=0)
