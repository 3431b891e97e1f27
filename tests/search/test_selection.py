"""The operation whose removal hurts most stays, on edges that are close and on no others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.spaces import nas_bench_201
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher
from snt_zoo.search.selection import _Perturbation, check_selection, select
from tests.conftest import TINY
from tests.search.cases import make_searcher
from tests.search.runs import finetune

OPERATIONS = nas_bench_201.OPERATIONS
POOL, CONV = OPERATIONS.index("avg_pool_3x3"), OPERATIONS.index("nor_conv_3x3")


def searcher_with_close_edges(name: str, data: ImageDataset) -> Searcher:
    """On edges 0, 2 and 4 pooling is a little ahead of a convolution; the others are decided."""
    searcher = make_searcher(name, TINY["nas_bench_201"], data, selection="perturbation", selection_images=20)
    with torch.no_grad():
        searcher.alphas[0].zero_()
        searcher.alphas[0][:, CONV] = 4.0
        searcher.alphas[0][[0, 2, 4], POOL] = 4.1
    return searcher


def losses(monkeypatch: pytest.MonkeyPatch, needed: Mapping[int, int]) -> list[tuple[int, int]]:
    """A loss that is high where an edge lacks the operation that it needs; returns what was removed."""
    removed: list[tuple[int, int]] = []

    def loss(self: _Perturbation, mixture: Mapping[str, Tensor]) -> float:
        rows = mixture["cell"]
        for row in range(len(rows)):
            for index in (POOL, CONV):
                table = self.derived if self.sampled else self.run_with
                if rows[row, index] == 0 and table["cell"][row, index] > 0:
                    removed.append((row, index))
        return float(sum(rows[row, index] == 0 for row, index in needed.items()))

    monkeypatch.setattr(_Perturbation, "_loss", loss)
    return removed


@pytest.mark.parametrize("name", ["darts", "gdas", "drnas"])
def test_what_the_network_needs_wins_over_the_larger_alpha(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    searcher = searcher_with_close_edges(name, few_digits)
    by_alpha = searcher.supernet.genotype()
    removed = losses(monkeypatch, {0: CONV, 2: POOL, 4: CONV})
    genotype, report = select(searcher)
    chosen = [edge.operation for edge in genotype.cells["cell"]]
    assert chosen == [OPERATIONS[i] for i in (CONV, CONV, POOL, CONV, CONV, CONV)]
    assert report["close_edges"] == 3 and report["fired"]
    assert [(entry["edge"], entry["to"]) for entry in report["preferred"]] == [
        (list(nas_bench_201.EDGES[row]), "nor_conv_3x3") for row in (0, 4)
    ]
    assert set(removed) == {(row, index) for row in (0, 2, 4) for index in (POOL, CONV)}
    searcher.supernet.commit(genotype)
    assert searcher.supernet.genotype() == genotype != by_alpha


def test_a_decided_edge_holds_one_operation_alone(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = searcher_with_close_edges("darts", few_digits)
    losses(monkeypatch, {0: CONV})
    made = _Perturbation(searcher, few_digits.val)
    sums = made.run_with["cell"].sum(1)
    made._decide("cell", 0, CONV, POOL)
    row = made.run_with["cell"][0]
    assert row[CONV] == sums[0] and row.count_nonzero() == 1
    torch.testing.assert_close(made.run_with["cell"].sum(1), sums)
    assert made.derived["cell"][0].argmax() == CONV


def test_removal_is_measured_on_the_network(few_digits: ImageDataset) -> None:
    searcher = searcher_with_close_edges("darts", few_digits)
    made = _Perturbation(searcher, few_digits.val)
    mixture = {"cell": made.run_with["cell"].clone()}
    mixture["cell"][0, CONV] = 0.0
    images = few_digits.val.tensor(16)
    x = searcher.supernet.config.normalisation(images)
    with torch.no_grad():
        logits = searcher.supernet.eval()(x, mixture)
    expected = torch.nn.functional.cross_entropy(logits, few_digits.val.labels)
    assert made._loss_without("cell", 0, CONV) == pytest.approx(float(expected), rel=1e-5)


def test_darts_never_compares_with_none(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", TINY["darts"], few_digits, selection="perturbation")
    with torch.no_grad():
        for alpha in searcher.supernet.alphas.values():
            alpha[:, 0] = 5.0
    found = _Perturbation(searcher, few_digits.val)._close_edges(searcher.supernet.genotype())
    assert len(found) == 16  # of the edges that are kept, all are close
    assert all(0 not in (first, second) for _, _, first, second in found)


def test_a_run_selects_by_perturbation(few_digits: ImageDataset) -> None:
    for searcher in ("darts", "gdas"):
        result = finetune(
            few_digits,
            TINY["nas_bench_201"],
            budget=Budget(epochs=1),
            recipe=Recipe(searcher=searcher, selection="perturbation", batch_size=64),
        )
        assert result.search["selection"]["method"] == "perturbation"
        assert result.search["selection"]["close_edges"] > 0  # after an epoch alphas are undecided
        assert result.supernet.genotype() == result.genotype
    with pytest.raises(UnknownComponentError, match="choose one of alpha, handicap, perturbation"):
        check_selection("dice")


@pytest.mark.parametrize(("lead", "stays"), [(0.1, False), (0.4, True)])
def test_what_has_no_weights_stays_only_where_it_leads_clearly(
    few_digits: ImageDataset, lead: float, stays: bool
) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits, selection="handicap")
    with torch.no_grad():
        searcher.alphas[0].zero_()
        searcher.alphas[0][:, CONV] = 4.0
        searcher.alphas[0][[0, 2], POOL] = 4.0 + lead  # e^0.4 > 1 / 0.8 > e^0.1
    genotype, report = select(searcher)
    pools = [row for row, edge in enumerate(genotype.cells["cell"]) if edge.operation == "avg_pool_3x3"]
    assert pools == ([0, 2] if stays else [])
    assert report["fired"] is not stays
    assert [entry["edge"] for entry in report["preferred"]] == (
        [] if stays else [list(nas_bench_201.EDGES[row]) for row in (0, 2)]
    )


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "mobile"])
def test_without_a_lead_every_space_derives_to_what_has_weights(few_digits: ImageDataset, space: str) -> None:
    searcher = make_searcher("gdas", TINY[space], few_digits, selection="handicap")
    with torch.no_grad():
        for alpha in searcher.alphas:
            alpha.zero_()
    trained = set(searcher.supernet.trunk.operation_parameters())
    genotype, _ = select(searcher)
    choice = searcher.supernet.space.choice(genotype)
    for kind, edges in genotype.cells.items():
        kept = {(edge.source, edge.target) for edge in edges}
        for row, edge in enumerate(searcher.supernet.space.edges[kind]):
            assert edge not in kept or (kind, row, choice[kind][row]) in trained
    if space == "darts":  # the norm of a derived pool is no weight of the operation
        assert not any("pool" in edge.operation for edges in genotype.cells.values() for edge in edges)
