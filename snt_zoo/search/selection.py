"""Which operation an edge keeps: the one with the largest alpha, the same with a handicap for those without
weights, or the one whose removal hurts most.

Handicap (ours): an operation without weights works from the first step, one with weights after it has been
trained; so early in a search skips and pools lead on merit that does not last (Zhou et al., NeurIPS 2020,
arXiv 2006.16537, show it for skips). They stay only where they lead clearly: their weights in the mixture
count `selection_ratio` times.

Perturbation-based selection (DARTS-PT, Wang et al., ICLR 2021, arXiv 2108.04392): an alpha says how much of
an operation the mixture takes, not how much the network needs it. So the operation is removed from the
supernet, everything else as it was, and the loss measured.

Ours: only on edges that the genotype keeps and whose two strongest operations are close, and between those
two; after a decision the edge holds that operation alone, but the supernet is not trained on in between
(theirs is, for five epochs). Loss, not accuracy, which has ties on a few hundred images. For a sampled
searcher, whose weights know paths and no mixtures, the network without an operation is the best path
without it. The images are the alphas' ones: those of the validation part pick epochs and stay unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.device import mixed_precision
from snt_zoo.networks.evaluate import evaluation_mode, network_batches
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.heads import cross_entropy
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe

SELECTIONS = ("alpha", "handicap", "perturbation")


class Searched(Protocol):
    """What a selection asks of a searcher, which calls it and so lies above it: see `Searcher`."""

    sampled: ClassVar[bool]
    supernet: Supernet
    recipe: Recipe
    alpha_split: Split

    def expected_mixture(self) -> Mapping[str, Tensor]: ...


def check_selection(name: str) -> None:
    """Raise `UnknownComponentError` unless there is a selection of that name."""
    if name not in SELECTIONS:
        raise UnknownComponentError(f"no selection {name!r}: choose one of {', '.join(SELECTIONS)}")


def select(searcher: Searched) -> tuple[Genotype, dict[str, Any]]:
    """The genotype of a searched supernet by the recipe's selection, and what was decided.

    Args:
        searcher: after its last epoch, its supernet at the best one.

    Returns:
        The genotype, within the supernet's bound; and a report as plain data.
    """
    recipe, supernet = searcher.recipe, searcher.supernet
    if recipe.selection == "alpha":
        return supernet.genotype(), {"method": "alpha"}
    if recipe.selection == "handicap":
        return _handicapped(supernet, recipe.selection_ratio)
    return _Perturbation(searcher, searcher.alpha_split.thinned(recipe.selection_images)).run()


@torch.no_grad()
def _handicapped(supernet: Supernet, ratio: float) -> tuple[Genotype, dict[str, Any]]:
    before = supernet.genotype()
    mixture = supernet.mixture()
    factors = {kind: torch.full_like(rows, ratio) for kind, rows in mixture.items()}
    for kind, row, operation in supernet.trunk.operation_parameters():
        factors[kind][row, operation] = 1.0
    weighed = {kind: rows * factors[kind] for kind, rows in mixture.items()}
    after = supernet.space.derive(weighed, supernet.bound)
    changed = [
        {"cell": kind, "edge": [old.source, old.target], "from": old.operation, "to": new.operation}
        for kind, edges in before.cells.items()
        for old in edges
        for new in after.cells[kind]
        if (old.source, old.target) == (new.source, new.target) and old.operation != new.operation
    ]
    return after, {"method": "handicap", "ratio": ratio, "preferred": changed, "fired": after != before}


class _Perturbation:
    """Goes through the close edges and decides each.

    Args:
        searcher: whose supernet is at its best epoch.
        images: labelled images on which losses are measured.
    """

    def __init__(self, searcher: Searched, images: Split) -> None:
        self.supernet: Supernet = searcher.supernet
        self.ratio = searcher.recipe.selection_ratio
        self.sampled = searcher.sampled
        self.images = images
        with torch.no_grad():
            # Two copies: what is derived from, where decisions only change the order of an edge's two
            # strongest operations, and what is run, where a decided edge holds one operation alone.
            self.derived = {kind: rows.clone() for kind, rows in self.supernet.mixture().items()}
            self.run_with = {kind: rows.clone() for kind, rows in searcher.expected_mixture().items()}

    @torch.no_grad()
    def run(self) -> tuple[Genotype, dict[str, Any]]:
        space = self.supernet.space
        before = space.derive(self.derived, self.supernet.bound)
        decided, changed = 0, []
        for kind, row, first, second in self._close_edges(before):
            losses = {index: self._loss_without(kind, row, index) for index in (first, second)}
            kept = max(losses, key=lambda index: losses[index])
            decided += 1
            if kept == second:
                changed.append(
                    {
                        "cell": kind,
                        "edge": list(space.edges[kind][row]),
                        "from": space.operations[first],
                        "to": space.operations[second],
                    }
                )
            self._decide(kind, row, kept, second if kept == first else first)
        after = space.derive(self.derived, self.supernet.bound)
        report = {"method": "perturbation", "images": len(self.images), "ratio": self.ratio}
        return after, report | {"close_edges": decided, "preferred": changed, "fired": after != before}

    def _close_edges(self, genotype: Genotype) -> list[tuple[str, int, int, int]]:
        """Kind, row, strongest and second operation of the edges that are to be decided."""
        space, found = self.supernet.space, []
        never = [space.operations.index(name) for name in space.never]
        for kind, rows in self.derived.items():
            kept = {(edge.source, edge.target) for edge in genotype.cells[kind]}
            for row, weights in enumerate(rows.cpu()):
                weights = weights.index_fill(0, torch.tensor(never, dtype=torch.int64), -1.0)
                (top, next_), (first, second) = (values.tolist() for values in weights.topk(2))
                if space.edges[kind][row] in kept and next_ >= self.ratio * top:
                    found.append((kind, row, int(first), int(second)))
        return found

    def _decide(self, kind: str, row: int, kept: int, dropped: int) -> None:
        table = self.derived[kind]
        pair = table[row, [kept, dropped]]
        table[row, kept], table[row, dropped] = pair.max(), pair.min()
        whole = self.run_with[kind][row].sum()
        self.run_with[kind][row] = 0.0
        self.run_with[kind][row, kept] = whole

    def _loss_without(self, kind: str, row: int, index: int) -> float:
        tables = self.derived if self.sampled else self.run_with
        without = {name: table.clone() for name, table in tables.items()}
        without[kind][row, index] = 0.0
        return self._loss(without)

    def _loss(self, mixture: Mapping[str, Tensor]) -> float:
        """Mean cross-entropy of the supernet with a mixture, or along the path that it derives to."""
        net = self.supernet
        choice = net.space.choice(net.space.derive(mixture, net.bound)) if self.sampled else None
        total = torch.zeros((), device=next(net.parameters()).device)
        with evaluation_mode(net), mixed_precision(total.device):
            for x, labels in network_batches(net, self.images):
                logits = net(x, None if self.sampled else mixture, choice)
                total += cross_entropy(logits, labels, net.config.heads, reduction="sum")
        return float(total) / len(self.images)
