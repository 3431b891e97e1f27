"""OTDD between samples (Alvarez-Melis and Fusi 2020, arXiv 2002.02923).

The ground cost of two labelled samples is a·|x − x'|² + b·W₂²(α_y, α_y'), where α_y is a class's Gaussian.
Exact by the network simplex, or as a debiased Sinkhorn divergence. A chain with a time limit falls from
exact to entropic to the class level, and the answer says which it was.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport.class_level import between_classes, exact_plan, squared_distances
from snt_zoo.encoders.transport.coupling import Level, Transport
from snt_zoo.encoders.transport.deadline import Deadline
from snt_zoo.encoders.transport.samples import LabelledSamples
from snt_zoo.encoders.transport.sinkhorn import TOLERANCE, Entropic, self_transport, sinkhorn
from snt_zoo.encoders.transport.solver import emd
from snt_zoo.errors import IndexMismatchError, TimeLimitError

EPSILON = 0.2
"""The paper's code has 0.1 on halved squared distances."""

Method = Literal["auto", "exact", "entropic", "class"]
Side = Sketch | LabelledSamples

_EXACT_ENTRIES = 25_000_000  # a larger cost matrix, 200 MB, is not given to the network simplex
_SHARES = {"exact": 0.5, "entropic": 0.8}  # of the time that is left; the class level has no limit


@dataclass(frozen=True)
class _Problem:
    """What all pairs of a batch share."""

    feature_weight: float
    label_weight: float
    epsilon: float
    tolerance: float
    device: torch.device | str


@dataclass(frozen=True, eq=False)
class _Pair:
    """The costs of one pair."""

    target: LabelledSamples
    source: LabelledSamples
    features: Tensor  # n x m, weighted
    classes: Tensor  # K x K', not weighted
    costs: Tensor  # n x m, both parts


def dataset_distance(target: Side, source: Side, **options: Any) -> Transport:
    """`dataset_distances` of one source, with the same options."""
    return dataset_distances(target, [source], **options)[0]


def dataset_distances(
    target: Side,
    sources: Sequence[Side],
    *,
    method: Method = "auto",
    samples: int | None = None,
    feature_weight: float = 1.0,
    label_weight: float = 1.0,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
    time_limit: float | None = None,
    device: torch.device | str = "cpu",
) -> list[Transport]:
    """Distances between the samples of one target and many sources, at one level, so that they can be ranked.

    Args:
        target: a sketch, or samples.
        sources: likewise, of the same space.
        method: `exact`, `entropic`, `class`, or `auto`: the first of these that ends in time.
        samples: at most so many of each sketch; all that it holds by default, up to 256.
        feature_weight: of the squared distance of features.
        label_weight: of the squared Wasserstein distance of classes.
        epsilon: strength of the entropy, in units of the cost.
        tolerance: of the marginals of the entropic plan.
        time_limit: seconds for all of them.
        device: where costs, and entropic plans, are computed.

    Returns:
        For each source the distance, its level, its parts and the coupling of the classes.

    Raises:
        IndexMismatchError: a source is of another space.
        TimeLimitError: the method, if not `auto`, did not end in time.
    """
    own = _samples_of(target, samples)
    others = [_samples_of(source, samples) for source in sources]
    for other in others:
        if other.space != own.space:
            raise IndexMismatchError(
                f"samples of different spaces cannot be compared: {own.space} and {other.space}; make both "
                "with the same backbone"
            )
    problem = _Problem(feature_weight, label_weight, epsilon, tolerance, device)
    deadline = Deadline.after(time_limit)
    if method != "auto":
        return _LEVELS[method](own, others, problem, deadline)
    for level, share in _SHARES.items():
        part = Deadline.after(None if time_limit is None else share * deadline.left())
        try:
            return _LEVELS[level](own, others, problem, part)
        except TimeLimitError:
            continue
    return _between_classes(own, others, problem, Deadline())


def _samples_of(side: Side, samples: int | None) -> LabelledSamples:
    return side if isinstance(side, LabelledSamples) else LabelledSamples.of_sketch(side, samples=samples)


def _pair(target: LabelledSamples, source: LabelledSamples, problem: _Problem, deadline: Deadline) -> _Pair:
    deadline.check("the cost of pairs")
    device = problem.device
    features = squared_distances(target.features.to(device), source.features.to(device))
    features = problem.feature_weight * features
    means, spreads = target.class_costs(source, device=device)
    classes = means + spreads
    labels = classes[target.labels.to(device)][:, source.labels.to(device)]
    return _Pair(target, source, features, classes, features + problem.label_weight * labels)


def _answer(pair: _Pair, plan: Tensor, level: Level, problem: _Problem, total: float | None) -> Transport:
    coupling = pair.target.by_class(plan.cpu(), pair.source)
    classes = pair.classes.cpu()
    parts = {
        "features": float((plan * pair.features).sum()),
        "labels": problem.label_weight * float((coupling * classes).sum()),
    }
    squared = sum(parts.values()) if total is None else total
    return Transport(
        distance=max(squared, 0.0) ** 0.5,
        coupling=coupling,
        costs=classes,
        level=level,
        parts=parts,
        target_classes=pair.target.class_names,
        source_classes=pair.source.class_names,
    )


def _exactly(
    target: LabelledSamples, sources: Sequence[LabelledSamples], problem: _Problem, deadline: Deadline
) -> list[Transport]:
    answers = []
    for source in sources:
        if len(target.labels) * len(source.labels) > _EXACT_ENTRIES:
            raise TimeLimitError(
                f"{len(target.labels)} against {len(source.labels)} samples are too many for exact "
                "transport: take fewer samples or the entropic method"
            )
        pair = _pair(target, source, problem, deadline)
        plan = _exact_plan_in_time(target.masses, source.masses, pair.costs.cpu(), deadline)
        answers.append(_answer(pair, plan.to(problem.device), "exact", problem, None))
    return answers


def _exact_plan_in_time(left: Tensor, right: Tensor, costs: Tensor, deadline: Deadline) -> Tensor:
    """The network simplex cannot be stopped, so it is given steps, doubled while the time suffices."""
    if deadline.left() == float("inf"):
        return exact_plan(left, right, costs)
    steps = 20 * sum(costs.shape)
    while True:
        start = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "numItermax reached" is what is asked for
            plan, log = emd(
                left.numpy(), right.numpy(), costs.numpy(), numItermax=steps, check_marginals=False, log=True
            )
        if log["warning"] is None:
            return torch.from_numpy(plan)
        if 2 * (time.monotonic() - start) > deadline.left():
            Deadline(0.0).check("exact transport")
        steps *= 2


def _entropically(
    target: LabelledSamples, sources: Sequence[LabelledSamples], problem: _Problem, deadline: Deadline
) -> list[Transport]:
    own = _self_term(target, problem, deadline)
    # On a CPU one problem stays in the cache; a GPU wants many at once.
    at_once = 1 if torch.device(problem.device).type == "cpu" else 32
    answers = []
    for start in range(0, len(sources), at_once):
        pairs = [_pair(target, source, problem, deadline) for source in sources[start : start + at_once]]
        solved = _solve(pairs, problem, deadline)
        for pair, plan, value in zip(pairs, solved.plans, solved.values.tolist(), strict=True):
            total = value - (own + _self_term(pair.source, problem, deadline)) / 2
            plan = plan[:, : len(pair.source.labels)]
            answers.append(_answer(pair, plan, "entropic", problem, total))
    return answers


def _solve(pairs: Sequence[_Pair], problem: _Problem, deadline: Deadline) -> Entropic:
    """One batch, padded with points without mass."""
    width = max(pair.costs.shape[1] for pair in pairs)
    costs = pairs[0].costs.new_zeros(len(pairs), pairs[0].costs.shape[0], width)
    right = costs.new_zeros(len(pairs), width)
    for row, pair in enumerate(pairs):
        costs[row, :, : pair.costs.shape[1]] = pair.costs
        right[row, : pair.costs.shape[1]] = pair.source.masses.to(problem.device)
    left = pairs[0].target.masses.to(problem.device).expand(len(pairs), -1)
    return sinkhorn(
        costs, left, right, epsilon=problem.epsilon, tolerance=problem.tolerance, deadline=deadline
    )


def _self_term(side: LabelledSamples, problem: _Problem, deadline: Deadline) -> float:
    """OT_ε of a side with itself; kept, so that a prepared source pays for it once."""
    key = (problem.feature_weight, problem.label_weight, problem.epsilon, problem.tolerance)
    if key not in side._self_terms:
        pair = _pair(side, side, problem, deadline)
        side._self_terms[key] = float(
            self_transport(
                pair.costs[None],
                side.masses[None].to(problem.device),
                epsilon=problem.epsilon,
                tolerance=problem.tolerance,
                deadline=deadline,
            )
        )
    return side._self_terms[key]


def _between_classes(
    target: LabelledSamples, sources: Sequence[LabelledSamples], problem: _Problem, deadline: Deadline
) -> list[Transport]:
    answers = []
    for source in sources:
        means, spreads = (part.cpu() for part in target.class_costs(source, device=problem.device))
        answers.append(between_classes(target, source, means, spreads))
    return answers


_Solver = Callable[[LabelledSamples, Sequence[LabelledSamples], _Problem, Deadline], list[Transport]]
_LEVELS: dict[str, _Solver] = {"exact": _exactly, "entropic": _entropically, "class": _between_classes}
