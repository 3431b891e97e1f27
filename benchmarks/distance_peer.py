"""Ours against the peer: the same numbers, and the time that they take."""

from __future__ import annotations

import functools
import itertools
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from benchmarks.collection import Item
from benchmarks.document import tell
from benchmarks.otdd_peer import FeatureSet, Peer
from snt_zoo.encoders.transport import LabelledSamples, dataset_distance
from snt_zoo.encoders.transport.class_level import class_distance, class_distances

SAMPLES = 500
ENTREG = 0.1  # the peer's default
_SLOW = 0.97  # the peer's ε falls by this factor squared, in place of 0.5²: so it converges
_HALVES = 2  # the peer halves squared distances: its cost is ours over 2, its entropy too


Report = tuple[list[dict[str, Any]], dict[str, Any]]
"""Rows, and what they add to the summary."""


def agreement(items: Sequence[Item], peer: Peer, *, pairs: int) -> Report:
    """The divergence of random pairs by both; the peer as it comes, and with ε falling slowly."""
    chosen = random.Random(0).sample(list(itertools.combinations(range(len(items)), 2)), pairs)
    sides = {place: items[place].samples(SAMPLES) for pair in chosen for place in pair}
    rows = []
    for left, right in chosen:
        both = [FeatureSet(*sides[place]) for place in (left, right)]
        clouds = [LabelledSamples.of_features(*sides[place]) for place in (left, right)]
        ours = dataset_distance(*clouds, method="entropic", epsilon=_HALVES * ENTREG).distance ** 2 / _HALVES
        theirs = peer.divergence(*both, entreg=ENTREG, sqrt_method="spectral")
        converged = peer.divergence(*both, entreg=ENTREG, sqrt_method="spectral", scaling=_SLOW)
        rows.append(
            {
                "what": "agreement",
                "pair": [items[left].name, items[right].name],
                "ours": round(ours, 6),
                "peer": round(theirs, 6),
                "peer_converged": round(converged, 6),
            }
        )
        tell(rows[-1])
    summary = {
        "pairs": pairs,
        "max_relative_difference": _worst(rows, "peer_converged"),
        "spearman": _rank_correlation(rows, "peer_converged"),
        "max_relative_difference_peer_as_it_stops": _worst(rows, "peer"),
        "spearman_peer_as_it_stops": _rank_correlation(rows, "peer"),
    }
    return rows, summary


def sample_level_time(items: Sequence[Item], peer: Peer | None, *, sources: int, repeats: int = 3) -> Report:
    """One target against the sources, ours and the peer's in turn, in processor time of one thread.

    Our sources are prepared beforehand, as a zoo's are; the target is prepared within the time.
    """
    target, *others = random.Random(1).sample(list(items), sources + 1)
    prepared = [other.cloud(SAMPLES) for other in others]
    solve = functools.partial(dataset_distance, method="entropic", epsilon=_HALVES * ENTREG)
    for side in prepared:
        solve(side, side)  # fills what a source keeps of itself
    start = time.process_time()
    own = target.cloud(SAMPLES)
    solve(own, own)
    preparing = time.process_time() - start
    rows = []
    for other, side in zip(others, prepared, strict=True):
        row: dict[str, Any] = {"what": "time of a pair", "target": target.name, "source": other.name}
        row["classes"] = [len(own.class_names), len(side.class_names)]
        row["ours"] = round(statistics.median(_seconds(solve, own, side) for _ in range(repeats)), 5)
        exact = functools.partial(dataset_distance, method="exact")
        row["ours_exact"] = round(_seconds(exact, own, side), 5)
        if peer is not None:
            sets = FeatureSet(*target.samples(SAMPLES)), FeatureSet(*other.samples(SAMPLES))
            for method in ("spectral", "approximate"):
                call = functools.partial(peer.divergence, entreg=ENTREG, sqrt_method=method)
                row[f"peer_{method}"] = round(_seconds(call, *sets), 5)
        rows.append(row)
        tell(row)
    ours = preparing + sum(row["ours"] for row in rows)
    summary: dict[str, Any] = {
        "samples_per_side": SAMPLES,
        "sample_level_seconds_32": round(ours, 4),
        "sample_level_exact_seconds_32": round(sum(row["ours_exact"] for row in rows), 4),
    }
    if peer is not None:
        totals = {m: sum(row[f"peer_{m}"] for row in rows) for m in ("spectral", "approximate")}
        summary |= {
            "peer_seconds_32": {method: round(total, 3) for method, total in totals.items()},
            # Against the faster of its two ways to take square roots, which is its default.
            "speedup_vs_peer_samples": round(min(totals.values()) / ours, 2),
            "speedup_vs_peer_samples_approximate_roots": round(totals["approximate"] / ours, 2),
        }
    return rows, summary


def class_level_time(items: Sequence[Item], *, sources: int, targets: int = 8, repeats: int = 15) -> Report:
    """One target against the sources between class Gaussians, for several targets."""
    sketches = [item.sketch() for item in items]
    rows: list[dict[str, Any]] = []
    for seed in range(targets):
        target, *others = random.Random(seed).sample(sketches, sources + 1)
        batch = class_distances(target, others)
        spent = statistics.median(_seconds(class_distances, target, others) for _ in range(repeats))
        start = time.process_time()
        exact = [class_distance(target, other) for other in others]
        rows.append(
            {
                "what": "class level",
                "target": target.name,
                "classes": [len(target.class_names), sum(len(other.class_names) for other in others)],
                "ms_32": round(1000 * spent, 2),
                "ms_32_every_pair_of_classes": round(1000 * (time.process_time() - start), 1),
                "max_excess_of_the_batch": max(
                    b.distance / e.distance - 1 for b, e in zip(batch, exact, strict=True)
                ),
                "spearman": float(
                    spearmanr([b.distance for b in batch], [e.distance for e in exact]).statistic
                ),
            }
        )
        tell(rows[-1])
    summary = {
        "class_level_ms_32": round(statistics.median(row["ms_32"] for row in rows), 2),
        "class_level_ms_32_largest": max(row["ms_32"] for row in rows),
        "class_level_ms_32_every_pair_of_classes": statistics.median(
            row["ms_32_every_pair_of_classes"] for row in rows
        ),
        "class_level_max_excess": max(row["max_excess_of_the_batch"] for row in rows),
        "class_level_min_spearman": min(row["spearman"] for row in rows),
    }
    return rows, summary


def load_peer(checkout: Path | None) -> Peer | None:
    """The peer, if a checkout was named."""
    return None if checkout is None else Peer(checkout)


def _seconds(call: Any, *arguments: Any) -> float:
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def _worst(rows: Sequence[dict[str, Any]], peer: str) -> float:
    largest: float = max(abs(row["ours"] / row[peer] - 1) for row in rows)
    return round(largest, 6)


def _rank_correlation(rows: Sequence[dict[str, Any]], peer: str) -> float:
    return round(float(spearmanr([row["ours"] for row in rows], [row[peer] for row in rows]).statistic), 6)
