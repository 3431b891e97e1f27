"""What the guards do, when, and what they say of it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.spaces import nas_bench_201
from snt_zoo.networks.spaces.nas_bench_201.connection import average_pool
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import get_guard, list_guards, register_guard, soften
from snt_zoo.search.regularisers.auxiliary_skip import AuxiliarySkip
from snt_zoo.search.regularisers.early_stopping import EarlyStopping
from snt_zoo.search.regularisers.skip_alarm import SkipAlarm
from tests.conftest import TINY
from tests.search.cases import batch, make_searcher

CONFIG = TINY["nas_bench_201"]
SKIP = nas_bench_201.SKIP


def make_net() -> Supernet:
    return Supernet.create(CONFIG, generator=torch.Generator().manual_seed(0))


def test_guards_are_found_by_name() -> None:
    assert list_guards() == ["auxiliary-skip", "early-stopping", "entropy-floor", "skip-alarm"]
    assert get_guard("early-stopping") is EarlyStopping
    assert get_guard("entropy-floor") is None
    with pytest.raises(UnknownComponentError, match="choose one of auxiliary-skip"):
        get_guard("luck")
    with pytest.raises(ValueError, match="registered already"):
        register_guard("skip-alarm")(SkipAlarm)


def test_the_auxiliary_skip_fades_from_one_to_nothing() -> None:
    assert [AuxiliarySkip.beta(p) for p in (-0.1, 0.0, 0.25, 0.5, 1.0, 1.2)] == [1, 1, 0.75, 0.5, 0, 0]
    net = make_net()
    guard = AuxiliarySkip(net, Recipe(), sampled=False)
    plain = net.mixture()
    for progress in (0.0, 0.4, 1.0):
        added = guard.adjusted(plain, progress)["cell"] - plain["cell"]
        expected = torch.zeros(6, 5)
        expected[:, SKIP] = 1 - progress
        torch.testing.assert_close(added, expected)


def test_the_auxiliary_skip_is_a_connection_beside_the_mixture(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", CONFIG, few_digits, guards=("auxiliary-skip",))
    net = searcher.supernet.double().eval()
    images = batch(few_digits)[0].double()
    cell = net.trunk.cells[0]  # type: ignore[union-attr, index]
    x, weights = net.trunk.stem(images), net.mixture()["cell"]  # type: ignore[operator]
    searcher.progress = 0.25
    found = cell(x, searcher.guarded({"cell": weights})["cell"])
    # Edge by edge: the mixture's message, and 0.75 times the state beside it.
    states = [x]
    for target in (1, 2, 3):
        total = torch.zeros_like(x)
        for source in range(target):
            row = nas_bench_201.EDGES.index((source, target))
            branch, active = target - source - 1, torch.relu(states[source])
            messages = [
                torch.zeros_like(x),
                states[source],
                cell.conv_1x1[source].one(active, branch),
                cell.conv_3x3[source].one(active, branch),
                average_pool(states[source]),
            ]
            mixed = sum(w * message for w, message in zip(weights[row], messages, strict=True))
            total = total + mixed + 0.75 * states[source]
        states.append(total)
    torch.testing.assert_close(found, states[3])


def test_a_sampled_search_says_why_it_has_no_auxiliary_skip(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", CONFIG, few_digits, guards=("auxiliary-skip", "skip-alarm"))
    report = searcher.report()
    assert report["auxiliary-skip"]["applied"] is False and "sampled" in report["auxiliary-skip"]["why"]
    assert report["skip-alarm"]["applied"] is True


def run_window(guard: EarlyStopping, overfitting: set[int], steps: int) -> None:
    """Steps in which the gradients of some operations point against, all others' along, the alphas'."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(guard.parameters, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        validation: list[Tensor] = []
        for weight in guard.parameters:
            weight.grad = torch.randn(weight.shape, generator=generator)
            validation.append(weight.grad.clone())
        by_id = dict(zip(map(id, guard.parameters), validation, strict=True))
        for index in overfitting:
            for weight, rows in guard.rows[guard.owners[index]]:
                by_id[id(weight)][rows if rows is not None else slice(None)] *= -1
        guard.saw_alpha_step(validation)
        guard.before_update()
        optimizer.step()
        guard.after_update()


def test_early_stopping_freezes_operations_whose_gradients_disagree() -> None:
    net = make_net()
    guard = EarlyStopping(net, Recipe(oles_window=3), sampled=False)
    assert len(guard.owners) == 12  # two convolutions on each of six edges
    run_window(guard, {1, 6}, steps=2)
    assert guard.report()["frozen"] == []  # the window is not full
    run_window(guard, {1, 6}, steps=1)
    frozen = guard.report()["frozen"]
    kind, row, column = guard.owners[1]
    assert [entry["step"] for entry in frozen] == [3, 3]
    assert frozen[0]["edge"] == list(nas_bench_201.EDGES[row])
    assert frozen[0]["operation"] == nas_bench_201.OPERATIONS[column] and frozen[0]["cell"] == kind
    before = {
        index: [weight[rows].clone() for weight, rows in guard.rows[owner]]  # type: ignore[index]
        for index, owner in enumerate(guard.owners)
    }
    run_window(guard, set(), steps=2)
    for index, owner in enumerate(guard.owners):
        same = [
            torch.equal(weight[rows], old)  # type: ignore[index]
            for (weight, rows), old in zip(guard.rows[owner], before[index], strict=True)
        ]
        assert all(same) if index in (1, 6) else not any(same)
    run_window(guard, set(), steps=4)
    assert len(guard.report()["frozen"]) == 2  # frozen is frozen, and no other joins


def test_the_cosine_is_that_of_an_operations_whole_gradient(few_digits: ImageDataset) -> None:
    # The weight step sees the alphas after their step, which here is too small to matter.
    searcher = make_searcher("darts", CONFIG, few_digits, guards=("early-stopping",), alpha_lr=1e-9)
    (guard,) = searcher.guards
    assert isinstance(guard, EarlyStopping)
    images, labels = batch(few_digits, 32)
    train, validation = (images[:16], labels[:16]), (images[16:], labels[16:])
    owners = [[weight for weight, _ in guard.rows[owner]] for owner in guard.owners]
    rows = [[part for _, part in guard.rows[owner]] for owner in guard.owners]
    searcher.supernet.train()
    searcher.progress = 0.5
    gradients = []
    for loss_of, part in ((searcher.loss, train), (searcher.alpha_loss, validation)):
        found = torch.autograd.grad(loss_of(*part), guard.parameters)
        gradients.append(dict(zip(map(id, guard.parameters), found, strict=True)))
    searcher._alpha_step(*validation, training=train)
    _, slopes = searcher.gradients(searcher.loss, *train, searcher.parameters)
    for parameter, slope in zip(searcher.parameters, slopes, strict=True):
        parameter.grad = slope
    guard.before_update()
    for index, (weights, parts) in enumerate(zip(owners, rows, strict=True)):
        flat = [
            torch.cat([side[id(w)][part].flatten() for w, part in zip(weights, parts, strict=True)])  # type: ignore[index]
            for side in gradients
        ]
        expected = torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0)
        torch.testing.assert_close(guard.cosines[index], expected, atol=1e-4, rtol=0)


def test_an_operation_that_was_not_sampled_is_not_judged() -> None:
    net = make_net()
    guard = EarlyStopping(net, Recipe(oles_window=1), sampled=True)
    for weight in guard.parameters:
        weight.grad = torch.ones_like(weight)
    first = guard.rows[guard.owners[0]]
    seen = {id(weight) for weight, _ in first}
    validation = [-torch.ones_like(w) if id(w) in seen else None for w in guard.parameters]
    for weight, gradient in zip(guard.parameters, validation, strict=True):
        if gradient is not None:  # of a tensor that edges share, only the first edge's rows took part
            (rows,) = [part for w, part in first if w is weight]
            mask = torch.zeros_like(weight)
            mask[rows] = 1  # type: ignore[index]
            gradient.mul_(mask)
    guard.saw_alpha_step(validation)
    guard.before_update()
    assert (guard.frozen_at >= 0).nonzero().flatten().tolist() == [0]


def test_operations_that_share_weights_cannot_be_stopped_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = make_net()
    assert EarlyStopping(net, Recipe(), sampled=False).obstacle() is None
    weight = next(net.trunk.parameters())
    shared = {("cell", 0, 2): [(weight, slice(0, 2))], ("cell", 0, 3): [(weight, None)]}
    monkeypatch.setattr(net.trunk, "operation_parameters", lambda: shared)
    assert "share weights" in str(EarlyStopping(net, Recipe(), sampled=False).obstacle())


def test_the_alarm_rings_above_a_third() -> None:
    net = make_net()
    guard = SkipAlarm(net, Recipe(), sampled=False)
    names = ["nor_conv_3x3", "skip_connect", "nor_conv_3x3", "none", "nor_conv_1x1", "nor_conv_3x3"]
    for third, fired in (("nor_conv_1x1", False), ("skip_connect", True)):
        with torch.no_grad():
            net.alphas["cell"].zero_()
            for row, name in enumerate([*names[:4], third, names[5]]):
                net.alphas["cell"][row, nas_bench_201.OPERATIONS.index(name)] = 5.0
        guard.after_epoch()
        report = guard.report()
        assert report["fired"] is fired and bool(guard.warnings()) is fired
    assert report["share"] == 0.5 and report["epochs"] == [1]
    assert "50% of the edges" in guard.warnings()[0]


def test_the_alarm_looks_at_each_kind_of_cell() -> None:
    net = Supernet.create(TINY["darts"], generator=torch.Generator().manual_seed(0))
    guard = SkipAlarm(net, Recipe(), sampled=False)
    with torch.no_grad():
        net.alphas["normal"][:, net.space.operations.index("skip_connect")] = 9.0
        net.alphas["reduce"][:, net.space.operations.index("sep_conv_3x3")] = 9.0
    assert guard.share(net.genotype()) == 0.5
    assert net.genotype().share("skip_connect") == 0.25


@pytest.mark.parametrize("floor", [0.3, 0.7])
def test_the_floor_softens_saturated_alphas_just_enough(floor: float) -> None:
    net = make_net()
    with torch.no_grad():
        net.alphas["cell"].normal_(0.0, 9.0, generator=torch.Generator().manual_seed(0))
    order, genotype = net.alphas["cell"].argsort(1), net.genotype()
    before = net.alphas["cell"].detach().clone()
    assert net.entropy() < floor
    report = soften(net, floor)
    assert net.entropy() == pytest.approx(floor, abs=1e-5) == report["entropy_after"]
    torch.testing.assert_close(net.alphas["cell"].detach() * report["temperature"], before)
    assert report["fired"] and report["temperature"] > 1
    assert torch.equal(net.alphas["cell"].argsort(1), order) and net.genotype() == genotype
    again = soften(net, floor - 0.01)
    assert (
        not again["fired"]
        and again["temperature"] == 1.0
        and math.isclose(net.entropy(), floor, abs_tol=1e-5)
    )


def test_reports_are_plain_data(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", CONFIG, few_digits, guards=tuple(list_guards()))
    searcher.epoch(lambda: 0.9)
    assert json.loads(json.dumps(searcher.report())) == searcher.report()
