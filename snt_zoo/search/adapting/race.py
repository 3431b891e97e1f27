"""A race of sources for a task: successive halving on validation accuracy, within the budget of the run.

Jamieson and Talwalkar 2016 (arXiv 1502.07943), with the same measure on all rungs, the accuracy of a head
that is fitted to the features of a supernet as it stands:

- The heat, where there are many sources and many images: rung 0 on a few of the images. Those stay that are
  not clearly behind, as in Hoeffding races (Maron and Moore, NIPS 1993), and at most `HEAT_KEPT`. In a
  budget in seconds that has no time for rung 1 only the one stays that is most worth training.
- Rung 0: batch norms are measured on the target and a head is fitted, as finetuning begins anyway.
  Nothing is trained. The better half stays.
- Rung 1, if there is time: what stayed, and a search from scratch, are trained for an equal time; then a head
  is fitted to a copy of each. A search from scratch so far has a head that knows nothing, and would lose by
  that alone: here its features are what counts.

Who is clearly behind, too slow or more promising than another is decided by
`snt_zoo.search.adapting.worth`. The winner goes on from its own state, to the step: the race hands it over as
a checkpoint that is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.splits import stratified_split
from snt_zoo.errors import DivergenceError, InfeasibleError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.best_head import BEST_HEAD, own_state
from snt_zoo.search.adapting.racer import Entrant, Racer, copied, worthwhile
from snt_zoo.search.adapting.worth import bar, large, most_worth, quick, too_dear, worth_training
from snt_zoo.search.checkpoint import nest
from snt_zoo.search.run import Run

RACE_SHARE = 0.25
"""Of what is left of a budget in seconds when the race begins."""

LEAST_HEADS = 60
"""Where sources could be trained for less than so many times what a head takes there is no rung 1:
docs/decisions.md."""

HEAT_IMAGES = 512
"""Training images of the heat; it is left out where there are not twice as many."""

HEAT_KEPT = 3
"""Sources that the heat leaves in the race, and how many there must be more than for one: as many as a rung
of whole heads can afford in a budget of a minute."""

EPOCH_SHARE = 6
"""With a budget of N epochs the second rung has N / 6, at least one: for three sources half of N."""


def race(
    entrants: Sequence[Entrant],
    data: ImageDataset,
    *,
    run: Run,
    limits: Limits,
    seed: int,
    device: torch.device,
) -> tuple[Entrant, Supernet]:
    """Find the source to go on with. Marks the stage `head` as finished, with what the race found.

    Args:
        entrants: best match first; those with fresh weights are only trained, and run as a guard.
        data: the target.
        run: that keeps time; a resumed one has the answer.
        limits: on the derived network; a source without a network within them does not race.
        seed: of heads and fresh weights.
        device: where to train.

    Returns:
        The winner, and its supernet; its search stage goes on where the race left it.

    Raises:
        InfeasibleError: no entrant has a network within the limits.
        DivergenceError: the training of every entrant diverged.
    """
    if "head" not in run.finished:
        end = _end(run)
        racers, rows = _line_up(entrants, data, limits, seed, device)
        guards = [racer for racer in racers if not racer.transferred]
        ranked = _heat([racer for racer in racers if racer.transferred], len(guards), data, run, end)
        ranked = _fit_heads(ranked, data.train, data, run, end)
        heads = [(racer, racer.accuracy) for racer in racers if racer.rungs]
        worth = worth_training(ranked, data, _left(run))
        finalists = _half(worth) + guards
        pause = _pause(finalists, run, end)
        winner = most_worth(worth or guards, data, _left(run))
        if pause is not None:
            winner = _second_rung(finalists, data, run, pause)
        _tell_out([*ranked, *guards], winner, data, run, "rung 0")
        if not winner.state:
            winner.state = copied(winner.supernet)
        _finish(winner, racers, rows, run, heads, images=len(data.train))
    found = next(entrant for entrant in entrants if entrant.id == run.facts["winner"])
    supernet = found.start(data, limits, seed, device)
    supernet.load_state_dict(own_state(run.kept))
    return found, supernet


def _line_up(
    entrants: Sequence[Entrant], data: ImageDataset, limits: Limits, seed: int, device: torch.device
) -> tuple[list[Racer], list[dict[str, Any]]]:
    """Those that can race, and a row for each that cannot."""
    racers: list[Racer] = []
    refused: list[tuple[Entrant, InfeasibleError]] = []

    def admit(entrant: Entrant) -> None:
        try:
            racers.append(Racer(entrant, entrant.start(data, limits, seed, device)))
        except InfeasibleError as error:
            refused.append((entrant, error))

    for entrant in entrants:
        admit(entrant)
    if not racers:
        raise refused[0][1]
    return racers, [{"id": who.id, "rungs": [], "won": False, "out": "limits"} for who, _ in refused]


def _heat(racers: Sequence[Racer], guards: int, data: ImageDataset, run: Run, end: float) -> list[Racer]:
    """Heads fitted to a few images; those that stay in the race, best first."""
    if len(racers) <= HEAT_KEPT or len(data.train) < 2 * HEAT_IMAGES:
        return list(racers)
    generator = torch.Generator().manual_seed(run.seed)
    share = (HEAT_IMAGES / len(data.train),)
    part = data.train.subset(stratified_split(data.train.labels, share, generator=generator)[1])
    ranked = _fit_heads(racers, part, data, run, end, rung="heat")
    worth = worth_training(ranked, data, _left(run))
    kept = [racer for racer in worth[:HEAT_KEPT] if racer.accuracy >= bar(worth, data)]
    head = max(racer.pace * racer.head_passes(data.train, data.val) for racer in kept)
    if _seconds_each(len(_half(kept)) + guards, head, run, end - len(kept) * head) is None:
        kept = [most_worth(worth, data, _left(run))]
    _tell_out(ranked, kept[0], data, run, "heat", kept)
    return kept


def _fit_heads(
    racers: Sequence[Racer], train: Split, data: ImageDataset, run: Run, end: float, *, rung: str = "head"
) -> list[Racer]:
    """Fit the heads, as long as there is time, those that are soonest fitted first; the best first."""
    seen: list[Racer] = []
    last = large(racers)
    for racer in sorted(racers, key=lambda racer: racer in last):
        if seen and _now(run) >= end:
            racer.out = "time"
            continue
        if seen and racer in last and too_dear(racer, seen, train, data, _left(run)):
            racer.out = "slow"
            continue
        began = run.clock.seconds()
        racer.accuracy = racer.fit_head(train, data.val)
        _tell(racer, run, began, rung)
        racer.pace = racer.rungs[-1]["seconds"] / racer.head_passes(train, data.val)
        seen.append(racer)
    return sorted(seen, key=lambda racer: -racer.accuracy)


def _second_rung(
    racers: Sequence[Racer], data: ImageDataset, run: Run, pause: Callable[[Run, int], bool]
) -> Racer:
    """Train what is left for an equal time; the best.

    A search after a transfer may be over sooner: one from scratch, which comes last, has no more time then.
    """
    failure: DivergenceError | None = None
    longest = 0.0

    def stop(own: Run, done: int) -> bool:
        over = run.budget.seconds is not None and 0 < longest <= _now(own)
        return over or pause(own, done)

    for racer in racers:
        began = run.clock.seconds()
        try:
            racer.accuracy = racer.train(data, run, pause if racer.transferred else stop)
        except DivergenceError as error:
            racer.out, failure = "diverged", error
            continue
        if not racer.transferred:
            racer.state = copied(racer.supernet)
        elif racer.snapshot is not None:
            longest = max(longest, racer.snapshot[1]["taken"])
        _tell(racer, run, began, "training")
    left = sorted((racer for racer in racers if racer.out is None), key=lambda racer: -racer.accuracy)
    if failure is not None and not left:
        raise failure
    for racer in left[1:]:
        racer.out = "rung 1"
    return left[0]


def _pause(racers: Sequence[Racer], run: Run, end: float) -> Callable[[Run, int], bool] | None:
    """When a racer stops in the second rung; None if there is no time for that, or nobody to race against."""
    if len(racers) == 1:
        return None
    if run.budget.epochs is not None:
        epochs = max(1, run.budget.epochs // EPOCH_SHARE)
        return lambda own, done: done >= epochs
    # A head is fitted to each once more; one from scratch takes as long as the slowest other.
    head = max((racer.rungs[-1]["seconds"] for racer in racers if racer.rungs), default=0.0)
    each = _seconds_each(len(racers), head, run, end)
    if each is None:
        return None
    return lambda own, done: _now(own) >= each


def _seconds_each(racers: int, head: float, run: Run, end: float) -> float | None:
    """Of training for each racer in the second rung; None if that is too little to learn from."""
    if run.budget.seconds is None:
        return math.inf
    each = (end - _now(run)) / racers - head
    return each if each >= LEAST_HEADS * head and each > 0 else None


def _now(run: Run) -> float:
    """Seconds of the run, by the first process's clock."""
    return run.team.largest(run.clock.seconds() if run.team.first else 0.0)[0]


def _end(run: Run) -> float:
    """When the race shall be over; never where epochs are counted."""
    return math.inf if run.budget.seconds is None else _now(run) + RACE_SHARE * _left(run)


def _half(ranked: Sequence[Racer]) -> list[Racer]:
    return list(ranked[: max(1, len(ranked) // 2)])


def _tell_out(
    ranked: Sequence[Racer],
    winner: Racer,
    data: ImageDataset,
    run: Run,
    behind: str,
    kept: Sequence[Racer] = (),
) -> None:
    """Say of each that is out why that is.

    It has no head, was slow, not clearly ahead of a generalist, or its head was `behind`.
    """
    fast = quick([racer for racer in ranked if racer.rungs], data, _left(run))
    for racer in ranked:
        if racer is winner or racer in kept or racer.out is not None:
            continue
        if not racer.rungs:
            racer.out = "time"
        elif racer.accuracy >= winner.accuracy and racer not in fast:
            racer.out = "slow"
        else:
            ahead = winner.entrant.general and racer.accuracy > winner.accuracy
            racer.out = "generalist" if ahead else behind


def _left(run: Run) -> float:
    """Seconds of the budget; without end where epochs are counted."""
    return math.inf if run.budget.seconds is None else max(run.budget.seconds - _now(run), 0.0)


def _tell(racer: Racer, run: Run, began: float, rung: str) -> None:
    seconds = run.team.largest(run.clock.seconds() - began if run.team.first else 0.0)[0]
    racer.rungs.append({"rung": rung, "val_accuracy": racer.accuracy, "seconds": seconds})
    run.record("race", racer.accuracy, entropy=racer.supernet.entropy(), who=racer.entrant.id)


def _finish(
    winner: Racer,
    racers: Sequence[Racer],
    rows: list[dict[str, Any]],
    run: Run,
    heads: Sequence[tuple[Racer, float]],
    *,
    images: int,
) -> None:
    """Keep what the race found, and let the winner's search go on from where it stands."""
    rows = [*(racer.report(won=racer is winner) for racer in racers), *rows]
    now = run.clock.seconds()
    snapshot = winner.snapshot
    start = now if snapshot is None else now - snapshot[1]["taken"]
    facts = {
        "race": rows,
        "winner": winner.entrant.id,
        "head": winner.accuracy if winner.transferred else None,
        "floor": winner.softened,
        "norms": winner.norms if winner.transferred else None,
        "share": winner.entrant.recipe.search_share,
    }
    if run.budget.seconds is not None:
        # The winner's search is as long as without a race, but leaves half of what is left of the budget.
        gone = start / run.budget.seconds
        share = winner.entrant.recipe.search_share
        if winner.transferred and snapshot is None:
            share = worthwhile(winner.entrant.recipe, run.budget.seconds, winner.pace * images)
        facts["share"] = min(gone + share, (gone + 1) / 2) if share else 0.0
    kept = dict(winner.state)
    if heads:
        best, accuracy = max(heads, key=lambda pair: pair[1])
        if best is not winner:
            facts[BEST_HEAD] = {"id": best.entrant.id, "val_accuracy": accuracy}
            kept |= nest(BEST_HEAD, best.state)
    run.finish("head", facts, kept)
    if snapshot is not None:
        tensors, meta = snapshot
        state: Mapping[str, Any] = meta["state"] | {"start": start}
        run.hand_over("search", tensors, {"state": dict(state)})
