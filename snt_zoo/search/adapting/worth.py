"""Which sources of a race are worth their time, by their heads and by what is left of the budget.

Every rule here was measured: docs/decisions.md, 49, 51, 56, 60, 64 and 72.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from snt_zoo.data import ImageDataset, Split
from snt_zoo.search.adapting.racer import PASS_COST, Racer

LEAST_PASSES = 2
"""Over the training images that a source must be able to make in what is left of a budget in seconds; else
its head stays, as something to hand back, and another source is trained."""

MANY_PASSES = 10
"""A source that can make fewer is slow: see `worth_training`."""

MANY_STEPS = 500
"""A source that can make fewer is slow, too, if another can make twice as many."""

DECISIVE = 0.25
"""A slow source is trained if its head has at most so much of the best quick one's errors."""

CLEAR_ERRORS = 2.0
"""Standard errors of the best one's accuracy on validation: who is further behind is clearly behind."""

QUICKER = 0.5
"""Of two heads that are within a standard error that source is trained which takes so much of the other's
time, if one does."""

LARGE = 2.0
"""A source that costs so many times the cheapest one has its head fitted last."""

HEAD_SHARE = 0.01
"""Of what is left of a budget in seconds: no more is spent on the head of a source that is expected to be
slow. In a minute none of them was trained, and the linear probe is a large network too."""


def worth_training(ranked: Sequence[Racer], data: ImageDataset, left: float) -> list[Racer]:
    """Those that can be trained in what is left, the most promising first.

    That is the best head, or that of a generalist which is not clearly behind; of several that of the one
    which was trained on the most datasets. A large source often has the best head, and could be trained for a
    few passes only, where a small one gains more by training: it stays if its errors are few against the best
    small one's.

    Args:
        ranked: with heads, the best first.
        data: the target.
        left: seconds of the budget; infinite where epochs are counted.
    """
    fast = quick(ranked, data, left)
    slow = [r for r in ranked if r not in fast and _passes(r, data, left) >= LEAST_PASSES]
    if not fast:
        return _generalists_first(slow or ranked, data)
    least = 1 - DECISIVE * (1 - fast[0].accuracy)
    worth = [racer for racer in ranked if racer in fast or (racer in slow and racer.accuracy >= least)]
    return _generalists_first(worth, data)


def most_worth(worth: Sequence[Racer], data: ImageDataset, left: float) -> Racer:
    """Of those that are worth training the one where only one can be."""
    best = worth[0]
    if math.isinf(left):
        return best
    least = best.accuracy - _standard_error(best, data)
    quicker = (r for r in worth[1:] if r.pace <= QUICKER * best.pace and r.accuracy >= least)
    return next(quicker, best)


def quick(ranked: Sequence[Racer], data: ImageDataset, left: float) -> list[Racer]:
    """Those that can make many passes and many steps in what is left."""
    passes = {racer: _passes(racer, data, left) for racer in ranked}
    steps = {r: passes[r] * len(data.train) / r.entrant.recipe.batch_size for r in ranked}
    many = min(MANY_STEPS, max(steps.values(), default=0.0) / 2)
    return [racer for racer in ranked if passes[racer] >= MANY_PASSES and steps[racer] >= many]


def bar(racers: Sequence[Racer], data: ImageDataset) -> float:
    """The accuracy under which a head is clearly behind the best one."""
    best = max(racers, key=lambda racer: racer.accuracy)
    return best.accuracy - CLEAR_ERRORS * _standard_error(best, data)


def large(racers: Sequence[Racer]) -> list[Racer]:
    """Those that cost many times the cheapest, by their multiply-accumulates, as far as they are known."""
    known = [racer.entrant.cost for racer in racers if racer.entrant.cost is not None]
    return [racer for racer in racers if known and (racer.entrant.cost or 0) > LARGE * min(known)]


def too_dear(racer: Racer, seen: Sequence[Racer], train: Split, data: ImageDataset, left: float) -> bool:
    """Whether a source will be slow, and its head not worth its time; by what those that were seen took.

    Args:
        racer: a `large` one.
        seen: with heads, in any order.
        train: what the head would be fitted to.
        data: the target.
        left: as of `worth_training`.
    """
    known = [(other.pace, other.entrant.cost) for other in seen if other.entrant.cost]
    if not known or racer.entrant.cost is None or math.isinf(left):
        return False
    expected = replace(racer, pace=racer.entrant.cost * min(pace / cost for pace, cost in known))
    dear = expected.pace * racer.head_passes(train, data.val) > HEAD_SHARE * left
    return dear and expected not in quick([*seen, expected], data, left)


def _generalists_first(ranked: Sequence[Racer], data: ImageDataset) -> list[Racer]:
    """Generalists first, the broadest of them before others, where they are not clearly behind the best."""
    if not ranked:
        return []
    least = bar(ranked, data)

    def order(racer: Racer) -> int:
        return -racer.entrant.breadth if racer.entrant.general and racer.accuracy >= least else 0

    return sorted(ranked, key=order)


def _standard_error(racer: Racer, data: ImageDataset) -> float:
    """Of an accuracy on validation."""
    accuracy = max(racer.accuracy, 0.0)
    return math.sqrt(accuracy * (1 - accuracy) / max(len(data.val), 1))


def _passes(racer: Racer, data: ImageDataset, left: float) -> float:
    """How often a source could be trained on every image in so many seconds."""
    return left / max(PASS_COST * racer.pace * len(data.train), 1e-9)
