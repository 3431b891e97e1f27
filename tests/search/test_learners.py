"""Steps of every learner: what they may wait for, their rate, how an epoch ends, and several datasets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.spaces import Bound
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher, drnas, get_searcher, list_searchers
from tests.conftest import TINY, MakeSupernet
from tests.search.cases import make_searcher

# `gdas`, and so `sandwich`, must know on the host which path it has drawn: docs/decisions.md, "Limits that
# are known".

# What `item`, `tolist`, `bool`, `nonzero` and indexing by a mask come down to.
WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")


PEAK = 0.05  # of `make_searcher`


class Reads(TorchDispatchMode):
    """Counts operations whose result the host must know: on a GPU a step would wait for it and idle after.

    Args:
        on_host: tensors that lie on the host whatever the device, by address: Adam's counters of steps.
    """

    def __init__(self, on_host: set[int]) -> None:
        super().__init__()
        self.on_host = on_host
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().split(".")[0] in WAITING and args[0].data_ptr() not in self.on_host:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


def learner_of(kind: str, net: Supernet, data: ImageDataset) -> WeightLearner:
    options: dict[str, Any] = {
        "recipe": Recipe(batch_size=50, warmup_share=0.0, augmentation="cutout"),
        "generator": torch.Generator(),
        "peak_lr": 0.05,
    }
    if kind == "derived":
        return WeightLearner(DerivedModel.inherit(net), data.train, **options)
    return get_searcher(kind)(net, data.train, data.val, **options)


@pytest.mark.parametrize("kind", ["derived", *sorted({*list_searchers()} - {"gdas", "sandwich"})])
def test_the_host_reads_nothing_in_an_epoch_but_at_its_end(
    kind: str, few_digits: ImageDataset, make_supernet: MakeSupernet
) -> None:
    config = TINY["nas_bench_201"]
    config = config if kind == "derived" else get_searcher(kind).prepared(config)
    learner = learner_of(kind, make_supernet(config), few_digits)
    learner.epoch(lambda: 0.1)  # Adam sets up its state in the first step
    during: list[int] = []

    def progress() -> float:
        during.append(len(reads.found))
        return 0.1

    adam = getattr(learner, "alpha_optimizer", learner.optimizer)
    counters = {state["step"].data_ptr() for state in adam.state.values() if "step" in state}
    with Reads(counters) as reads:
        learner.epoch(progress)
    assert during == [0, 0, 0, 0]  # four steps; batches and augmentation among them
    assert reads.found  # at the end the loss is read: the count does count


class Transfers(TorchDispatchMode):
    """Finds what goes from the host to a device, or back, and would be waited for.

    The device is `meta`, which computes nothing but tells its tensors from the host's. A tensor that lies
    there, and that no operation made, was copied there: from a list of numbers, or an index.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._known: dict[int, Tensor] = {}  # kept, so that no other storage gets the same address

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        taken = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        for each in taken:
            if each.is_meta and address(each) not in self._known:
                self.found.append(func.name())
                self._known[address(each)] = each
        out = func(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        self._known |= {address(each): each for each in made if each.is_meta}
        arrays = {each.is_meta for each in (*taken, *made) if each.is_meta or each.dim()}
        if len(arrays) == 2 and not (kwargs or {}).get("non_blocking"):
            self.found.append(func.name())
        return out


def address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


STEPS = [
    *[("darts", space) for space in sorted(TINY)],
    *[("derived", space) for space in ("darts", "mobile", "nas_bench_201")],
    ("drnas", "nas_bench_201"),
    ("heads", "nas_bench_201"),
    ("pc-darts", "darts, partial"),
    ("pc-darts", "nas_bench_201"),
    ("settled", "nas_bench_201"),
]


def learner_on_meta(kind: str, space: str, data: ImageDataset) -> WeightLearner:
    name = kind if kind in list_searchers() else "gdas" if kind in ("derived", "settled") else "darts"
    config = get_searcher(name).prepared(TINY[space])
    config = replace(config, num_classes=data.num_classes, heads=data.heads)
    recipe = Recipe(batch_size=50, warmup_share=0.0, dirichlet_kl=0.1, average=0.9, settle_share=0.2)
    options: dict[str, Any] = {"recipe": recipe, "generator": torch.Generator(), "peak_lr": 0.05}
    with torch.device("meta"):
        net = Supernet(config)
        net.bound = Bound(net.space.costs(config.input_size), max_macs=10**9)
    if kind == "derived":
        genotype = make_searcher(name, config, data).supernet.genotype()
        with torch.device("meta"):
            model = DerivedModel(config, genotype)
        return WeightLearner(model, data.train, **options)
    searcher = get_searcher(name)(net, data.train, data.val, **options)
    if kind == "settled":
        searcher.decided = True
        searcher.path = make_searcher(name, config, data).supernet.choice()
    return searcher


@pytest.mark.parametrize(("kind", "space"), STEPS)
def test_a_step_exchanges_nothing_with_the_host(
    kind: str, space: str, few_digits: ImageDataset, both: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A draw on a GPU has no stand-in here.
    monkeypatch.setattr(drnas, "dirichlet", lambda table, generator: table / table.sum(-1, keepdim=True))
    learner = learner_on_meta(kind, space, both if kind == "heads" else few_digits)
    progress = 0.9 if kind == "settled" else 0.5
    transfers = Transfers()
    for _ in range(2):  # the first makes what is kept, as the optimizers' state
        transfers.found.clear()
        with transfers:
            learner.tally.add(learner.step(*next(learner.batches), progress))
    assert transfers.found == []


def test_transfers_are_found() -> None:
    on_device = torch.empty(3, 4, device="meta")
    transfers = Transfers()
    for act in (
        lambda: on_device[[0, 2], 1],
        lambda: torch.tensor([1.0, 2.0, 3.0, 4.0], device="meta") + on_device,
        lambda: on_device + torch.ones(4).to("meta"),
    ):
        with transfers:
            on_device.exp()
            transfers.found.clear()
            act()
        assert transfers.found
    with transfers:
        transfers.found.clear()
        on_device.exp() + 1.0
        torch.ones(4).to("meta", non_blocking=True).exp()
    assert transfers.found == []


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0, 1.1])
def test_it_falls_on_half_a_cosine(few_digits: ImageDataset, progress: float) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    searcher.set_rate(progress)
    expected = PEAK * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    assert [group["lr"] for group in searcher.optimizer.param_groups] == pytest.approx([expected])


def test_a_warm_up_rises_in_a_line_and_joins_the_cosine(few_digits: ImageDataset) -> None:
    plain = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    warmed = make_searcher("gdas", TINY["nas_bench_201"], few_digits, rate_warmup=0.2)

    def rates(progress: float) -> tuple[float, float]:
        plain.set_rate(progress)
        warmed.set_rate(progress)
        return plain.optimizer.param_groups[0]["lr"], warmed.optimizer.param_groups[0]["lr"]

    for progress, share in ((0.0, 0.0), (0.05, 0.25), (0.1, 0.5), (0.2, 1.0), (0.7, 1.0)):
        there, rising = rates(progress)
        assert rising == pytest.approx(share * there)


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


def several(data: ImageDataset, name: str = "gdas", **recipe: Any) -> Searcher:
    config = replace(TINY["nas_bench_201"], num_classes=data.num_classes, heads=data.heads)
    return make_searcher(name, config, data, **{"datasets_per_step": 2} | recipe)


@pytest.mark.parametrize("searcher", ["gdas", "darts", "darts-2nd", "drnas"])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_searcher_trains_every_head(both: ImageDataset, searcher: str, mixed: bool) -> None:
    learner = several(both, searcher, mixed_batches=mixed, warmup_share=0.0)
    before = learner.supernet.head.weight.detach().clone()
    alphas = [alpha.detach().clone() for alpha in learner.alphas]
    learner.epoch(lambda: 0.5, steps=2)
    moved = (learner.supernet.head.weight - before).abs().sum(1)
    assert (moved > 0).all()
    assert any(not torch.equal(a, b) for a, b in zip(alphas, learner.alphas, strict=True))
    assert 0 <= learner.evaluate(both.val) <= 1


def test_a_batch_of_one_dataset_does_not_move_the_others_head(both: ImageDataset) -> None:
    learner = several(both, datasets_per_step=1)
    images, labels = next(learner.batches)
    drawn = set((labels >= 10).tolist())
    assert len(drawn) == 1  # all of one dataset
    _, gradients = learner.weight_gradients(images, labels)
    weight = gradients[-2]
    other = slice(0, 10) if drawn == {True} else slice(10, 20)
    assert weight is not None and not weight[other].any() and weight.any()


@pytest.mark.parametrize(("keep", "parts"), [(True, [3, 3, 2]), (False, [8])])
def test_only_with_fixed_norms_a_batch_goes_through_in_parts_that_add_up_to_it(
    keep: bool,
    parts: list[int],
    few_digits: ImageDataset,
    make_supernet: MakeSupernet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval()
    size = network.config.input_size
    images, labels = torch.rand(8, 3, size, size), torch.arange(8)
    learner = WeightLearner(
        network, few_digits.train, recipe=Recipe(), generator=torch.Generator(), peak_lr=0.1, keep_norms=keep
    )
    seen: list[int] = []

    def gradients() -> list[Tensor]:
        found = learner.gradients(
            lambda part, targets: seen.append(len(part)) or learner.loss(part, targets),
            images,
            labels,
            learner.parameters,
        )[1]
        return [each for each in found if each is not None]

    whole = gradients()
    monkeypatch.setattr("snt_zoo.search.learners.AT_ONCE", 3 * size**2)
    in_parts = gradients()
    assert seen == [8, *parts]
    for left, right in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)
    assert learner.micro_batch is None  # that is where memory lacks
