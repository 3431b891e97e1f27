"""The regularisers that are arms of a benchmark: what they do, when, and what they say of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.methods import early_stopping
from benchmarks.methods.auxiliary_skip import AuxiliarySkip
from benchmarks.methods.early_stopping import EarlyStopping
from snt_zoo.data import ImageDataset
from snt_zoo.networks.spaces import nas_bench_201
from snt_zoo.networks.spaces.nas_bench_201.connection import average_pool
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.cases import batch, make_searcher

SKIP = nas_bench_201.SKIP
CONFIG = TINY["nas_bench_201"]


def make_net() -> Supernet:
    return Supernet.create(CONFIG, generator=torch.Generator().manual_seed(0))


def test_the_auxiliary_skip_fades_from_one_to_nothing() -> None:
    assert [AuxiliarySkip.beta(p) for p in (-0.1, 0.0, 0.25, 0.5, 1.0, 1.2)] == [1, 1, 0.75, 0.5, 0, 0]
    net = make_net()
    regulariser = AuxiliarySkip(net, Recipe(), sampled=False)
    plain = net.mixture()
    for progress in (0.0, 0.4, 1.0):
        added = regulariser.adjusted(plain, progress)["cell"] - plain["cell"]
        expected = torch.zeros(6, 5)
        expected[:, SKIP] = 1 - progress
        torch.testing.assert_close(added, expected)


def test_the_auxiliary_skip_is_a_connection_beside_the_mixture(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", CONFIG, few_digits, regularisers=("auxiliary-skip",))
    net = searcher.supernet.double().eval()
    images = batch(few_digits)[0].double()
    cell = net.trunk.cells[0]  # type: ignore[union-attr, index]
    x, weights = net.trunk.stem(images), net.mixture()["cell"]  # type: ignore[operator]
    searcher.progress = 0.25
    found = cell(x, searcher.regularised({"cell": weights})["cell"])
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
    searcher = make_searcher("gdas", CONFIG, few_digits, regularisers=("auxiliary-skip", "skip-alarm"))
    report = searcher.report()
    assert report["auxiliary-skip"]["applied"] is False and "sampled" in report["auxiliary-skip"]["why"]
    assert report["skip-alarm"]["applied"] is True


def run_window(regulariser: EarlyStopping, overfitting: set[int], steps: int) -> None:
    """Steps in which the gradients of some operations point against, all others' along, the alphas'."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(regulariser.parameters, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        validation: list[Tensor] = []
        for weight in regulariser.parameters:
            weight.grad = torch.randn(weight.shape, generator=generator)
            validation.append(weight.grad.clone())
        by_id = dict(zip(map(id, regulariser.parameters), validation, strict=True))
        for index in overfitting:
            for weight, rows in regulariser.rows[regulariser.owners[index]]:
                by_id[id(weight)][rows if rows is not None else slice(None)] *= -1
        regulariser.saw_alpha_step(validation)
        regulariser.before_update()
        optimizer.step()
        regulariser.after_update()


def test_early_stopping_freezes_operations_whose_gradients_disagree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_stopping, "WINDOW", 3)
    net = make_net()
    regulariser = EarlyStopping(net, Recipe(), sampled=False)
    assert len(regulariser.owners) == 12  # two convolutions on each of six edges
    run_window(regulariser, {1, 6}, steps=2)
    assert regulariser.report()["frozen"] == []  # the window is not full
    run_window(regulariser, {1, 6}, steps=1)
    frozen = regulariser.report()["frozen"]
    kind, row, column = regulariser.owners[1]
    assert [entry["step"] for entry in frozen] == [3, 3]
    assert frozen[0]["edge"] == list(nas_bench_201.EDGES[row])
    assert frozen[0]["operation"] == nas_bench_201.OPERATIONS[column] and frozen[0]["cell"] == kind
    before = {
        index: [weight[rows].clone() for weight, rows in regulariser.rows[owner]]  # type: ignore[index]
        for index, owner in enumerate(regulariser.owners)
    }
    run_window(regulariser, set(), steps=2)
    for index, owner in enumerate(regulariser.owners):
        same = [
            torch.equal(weight[rows], old)  # type: ignore[index]
            for (weight, rows), old in zip(regulariser.rows[owner], before[index], strict=True)
        ]
        assert all(same) if index in (1, 6) else not any(same)
    run_window(regulariser, set(), steps=4)
    assert len(regulariser.report()["frozen"]) == 2  # frozen is frozen, and no other joins


def test_the_cosine_is_that_of_an_operations_whole_gradient(few_digits: ImageDataset) -> None:
    # The weight step sees the alphas after their step, which here is too small to matter.
    searcher = make_searcher("darts", CONFIG, few_digits, regularisers=("early-stopping",), alpha_lr=1e-9)
    (regulariser,) = searcher.regularisers
    assert isinstance(regulariser, EarlyStopping)
    images, labels = batch(few_digits, 32)
    train, validation = (images[:16], labels[:16]), (images[16:], labels[16:])
    owners = [[weight for weight, _ in regulariser.rows[owner]] for owner in regulariser.owners]
    rows = [[part for _, part in regulariser.rows[owner]] for owner in regulariser.owners]
    searcher.supernet.train()
    searcher.progress = 0.5
    gradients = []
    passes = (searcher.loss, searcher.inputs, train), (searcher.alpha_loss, searcher.alpha_inputs, validation)
    for loss_of, inputs, part in passes:
        found = torch.autograd.grad(loss_of(*part, *inputs()), regulariser.parameters)
        gradients.append(dict(zip(map(id, regulariser.parameters), found, strict=True)))
    searcher._alpha_step(*validation, training=train)
    _, slopes = searcher.weight_gradients(*train)
    for parameter, slope in zip(searcher.parameters, slopes, strict=True):
        parameter.grad = slope
    regulariser.before_update()
    for index, (weights, parts) in enumerate(zip(owners, rows, strict=True)):
        flat = [
            torch.cat([side[id(w)][part].flatten() for w, part in zip(weights, parts, strict=True)])  # type: ignore[index]
            for side in gradients
        ]
        expected = torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0)
        torch.testing.assert_close(regulariser.cosines[index], expected, atol=1e-4, rtol=0)


def test_an_operation_that_was_not_sampled_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_stopping, "WINDOW", 1)
    net = make_net()
    regulariser = EarlyStopping(net, Recipe(), sampled=True)
    for weight in regulariser.parameters:
        weight.grad = torch.ones_like(weight)
    first = regulariser.rows[regulariser.owners[0]]
    seen = {id(weight) for weight, _ in first}
    validation = [-torch.ones_like(w) if id(w) in seen else None for w in regulariser.parameters]
    for weight, gradient in zip(regulariser.parameters, validation, strict=True):
        if gradient is not None:  # of a tensor that edges share, only the first edge's rows took part
            (rows,) = [part for w, part in first if w is weight]
            mask = torch.zeros_like(weight)
            mask[rows] = 1  # type: ignore[index]
            gradient.mul_(mask)
    regulariser.saw_alpha_step(validation)
    regulariser.before_update()
    assert (regulariser.frozen_at >= 0).nonzero().flatten().tolist() == [0]


def test_operations_that_share_weights_cannot_be_stopped_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = make_net()
    assert EarlyStopping(net, Recipe(), sampled=False).obstacle() is None
    weight = next(net.trunk.parameters())
    shared = {("cell", 0, 2): [(weight, slice(0, 2))], ("cell", 0, 3): [(weight, None)]}
    monkeypatch.setattr(net.trunk, "operation_parameters", lambda: shared)
    assert "share weights" in str(EarlyStopping(net, Recipe(), sampled=False).obstacle())
