"""A race of candidates for a task: a head is fitted to each, and the broadest of the good ones goes on.

No candidate is trained. Batch norms are measured on the task and a head is fitted to the frozen features, as
every finetuning begins, on a few of the images. Heads that are within a standard error of the best are as
good (the one-standard-error rule: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3).
Of these the supernet goes on that was trained on the most datasets, and of equally broad ones the better
(docs/decisions.md, 73).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.splits import stratified_split
from snt_zoo.errors import DivergenceError, InfeasibleError
from snt_zoo.networks.evaluate import NORM_IMAGES, Network, features
from snt_zoo.networks.head import Norms, begin_on, quick_norms
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.run import Run

RACE_SHARE = 0.25
"""Of what is left of a budget in seconds when the race begins: no head is begun that would end later. A head
is fitted to no more images than the same share allows when it is begun."""

IMAGES = 512
"""Training images that a head is fitted to in a race, at most."""

LEAST_PASSES = 5.0
"""Over the training images: one that would make fewer in what is left of a budget in seconds does not go on,
if another can. Heads do not foresee it: docs/decisions.md, 73."""

_TIMED = 32  # images on which the first network is timed
PASS_COST = 4.0
"""What an image costs in training, in forward passes of it: measured at 3.4 (`nb201`) and 4.3 (`mobile`)."""

ERRORS = 1.0
"""Standard errors of the best accuracy on validation, within which another head is as good."""


@dataclass(frozen=True, eq=False)
class Head:
    """A candidate with a head for the task.

    Args:
        candidate: whose supernet it is.
        supernet: with the head.
        accuracy: on validation, from 0 to 1.
        norms: whose batch norms it has.
        seconds: that the head took.
        images: training images that it was fitted to.
    """

    candidate: Candidate
    supernet: Supernet
    accuracy: float
    norms: Norms
    seconds: float
    images: int

    @classmethod
    def fit(
        cls, candidate: Candidate, supernet: Supernet, train: Split, run: Run, norms: Norms | None = None
    ) -> Head:
        """Fit a head to a candidate's supernet, which is changed in place; see `begin_on`."""
        began = run.seconds()
        accuracy, found = begin_on(supernet, train, run.val, norms=norms)
        return cls(candidate, supernet, accuracy, found, run.seconds() - began, len(train))


def affordable(run: Run, pace: float, network: Network, *, besides: int = 0) -> int:
    """Images to which a head can be fitted in `RACE_SHARE` of what is left; at least two for each class.

    Args:
        run: keeps time.
        pace: seconds that the network takes for an image.
        network: with the head.
        besides: images that it sees in that time besides.
    """
    images = RACE_SHARE * run.left() / max(pace, 1e-9) - besides
    return sys.maxsize if math.isinf(images) else max(int(images), 2 * network.config.num_classes)


def images_for_head(supernet: Supernet, train: Split, run: Run) -> int:
    """Training images for a head which is the first of a run: its network is timed on a few of them."""
    if run.budget.seconds is None:
        return sys.maxsize
    few = train.thinned(_TIMED)
    features(supernet, few)  # everything is new
    began = run.seconds()
    features(supernet, few)
    pace = (run.seconds() - began) / len(few)
    return affordable(run, pace, supernet, besides=len(run.val) + NORM_IMAGES)


def race(
    candidates: Sequence[Candidate], data: ImageDataset, run: Run, device: torch.device
) -> tuple[Head, tuple[dict[str, Any], ...]]:
    """Find the candidate to go on with.

    Args:
        candidates: at least one.
        data: the task.
        run: keeps time; a candidate without a network within its limits does not race.
        device: where heads are fitted.

    Returns:
        The winner; and of each candidate, as plain data, its id, validation accuracy, seconds, licences,
        whether it won, and else what put it out: `behind` (its head), `narrower` (its head is as good, but
        it was trained on fewer datasets), `slow` (it would see the images too few times), `time` (for a head
        there was none), `limits` (no network within them) or `diverged` (what it computes are not numbers).

    Raises:
        InfeasibleError: no candidate has a network within the limits.
        DivergenceError: none of those within the limits computes numbers.
    """
    few: Split | None = None
    end = run.seconds() + RACE_SHARE * run.left()
    heads: dict[str, Head] = {}
    out: dict[str, str] = {}
    refused: InfeasibleError | DivergenceError | None = None
    for candidate in _in_order(candidates):
        try:
            supernet = candidate.start(data, run.options.limits, run.seed, device)
            if heads and run.seconds() + _expected(candidate, heads.values()) > end:
                out[candidate.id] = "time"
                continue
            if few is None:  # the same for all, so that their accuracies can be compared
                images = min(IMAGES, images_for_head(supernet, data.train, run))
                few = _few(data.train, images, run.seed)
            head = Head.fit(candidate, supernet, few, run, quick_norms(supernet))
        except InfeasibleError as error:
            out[candidate.id], refused = "limits", error
            continue
        except DivergenceError as error:
            out[candidate.id], refused = "diverged", error
            continue
        heads[candidate.id] = head
        run.record("race", head.accuracy, entropy=supernet.entropy(), who=candidate.id)
    if not heads:
        assert refused is not None
        raise refused
    all_passes = LEAST_PASSES * len(data.train)
    # Who keeps its norms begins as its head, and does not end below it: it needs no passes to catch up.
    able = [
        head
        for head in heads.values()
        if head.candidate.recipe.keep_norms or pace(head, heads.values()) * all_passes <= run.left()
    ]
    winner = best(able or list(heads.values()), images=len(data.val))
    for id, head in heads.items():
        out[id] = "narrower" if head.accuracy >= winner.accuracy else "behind"
        if able and head not in able:
            out[id] = "slow"
    rows = []
    for candidate in candidates:
        found = heads.get(candidate.id)
        licences = [*dict.fromkeys(candidate.licences.values())]
        row: dict[str, Any] = {
            "id": candidate.id,
            "val_accuracy": None,
            "seconds": None,
            "licences": licences,
        }
        if found is not None:
            row |= {"val_accuracy": found.accuracy, "seconds": found.seconds}
        rows.append(row | {"won": found is winner, "out": None if found is winner else out[candidate.id]})
    return winner, tuple(rows)


def pace(head: Head, heads: Collection[Head]) -> float:
    """Seconds for which training sees an image, by what the heads took.

    A head that is fitted first takes longer, as everything is new. So one whose network costs about as much,
    or more, speaks for it where that was quicker.
    """
    cost, seconds = head.candidate.cost, head.seconds
    if cost is not None:
        others = [(h.seconds, h.candidate.cost) for h in heads if 2 * (h.candidate.cost or 0) >= cost]
        seconds = min(took * cost / costs for took, costs in others if costs)
    return PASS_COST * seconds / max(head.images, 1)


def best(heads: Sequence[Head], *, images: int) -> Head:
    """The broadest of those that are as good as the most accurate; of equals the more accurate.

    Args:
        heads: at least one.
        images: on which their accuracies were measured.
    """
    top = max(head.accuracy for head in heads)
    least = top - ERRORS * math.sqrt(top * (1 - top) / max(images, 1))
    good = [head for head in heads if head.accuracy >= least]
    return max(good, key=lambda head: (head.candidate.breadth, head.accuracy))


def _in_order(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The broadest first, as it goes on where time is out after one head; then the cheapest first."""
    broadest = max(candidates, key=lambda candidate: candidate.breadth)
    yield broadest
    others = [candidate for candidate in candidates if candidate is not broadest]
    yield from sorted(others, key=lambda candidate: math.inf if candidate.cost is None else candidate.cost)


def _expected(candidate: Candidate, heads: Collection[Head]) -> float:
    """Seconds that a head will take, by those that were fitted; 0 where costs are not known."""
    if candidate.cost is None:
        return 0.0
    paces = [head.seconds / head.candidate.cost for head in heads if head.candidate.cost]
    return candidate.cost * min(paces, default=0.0)


def _few(train: Split, images: int, seed: int) -> Split:
    if len(train) <= images:
        return train
    generator = torch.Generator().manual_seed(seed)
    return train.subset(stratified_split(train.labels, (images / len(train),), generator=generator)[1])
