"""What `benchmarks.transfer` runs: targets, parts, arms, and which row each of them is.

A part is a question; its jobs are listed with the claims first, so that what is interrupted has those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

GENERALIST = "generalist"
"""Tag of a supernet that was pretrained on many datasets at once."""

# Of every domain of the collection, chosen before any was run with this benchmark: two icon sets, three of
# photographs, and one each of the others. No supernet that may answer for one was
# trained on a relative of it (`zoo.sources.left_out`).
TARGETS = (
    "font_khmer",
    "icon_food",
    "icon_shapes",
    "emoji_category",
    "ahcd_arabic_hand",
    "animal_silhouette",
    "openclipart_category",
    "furniture_category",
    "openarena_texture",
    "natural8",
    "trashnet",
    "chars74k_natural",
)
SEEDS = (0, 1, 2)
MAIN_SEEDS = (0, 1, 2, 3, 4)
"""Of the part `main`, on which the claims rest."""
FEW = (20, 5, 100)
"""Training images of each class in the part `few`; the claim's number first."""

METHODS = ("class-ot", "otdd", "class-means", "frechet", "mean-feature", "logme", "static", "random")
"""What ranks the sources in the part `retrieval`."""

WITH_PROBE = "scratch, with the probe"
"""The search from scratch with the floor that `auto` has: the probe, alone or together with the network."""
WALL = "wall"
"""The part that is measured as a user runs it: wall clock, all cores, nothing beside it."""
NO_SLOW = "auto, no slow source"
"""A race without `SLOW`, whose network takes six times the multiply-accumulates of the others."""
SLOW = "mobile-imagenet"
AS_AUTO = "mobilenet, as auto"
"""The whole MobileNetV2 trained as `auto` trains what it derives: the rate rises, weights are averaged."""


@dataclass(frozen=True)
class Job:
    """One row.

    Args:
        part: one of `PARTS`.
        target: dataset.
        arm: what is done.
        seed: of the run.
        budget: seconds of processor time on one thread; of wall clock on all cores in the part `wall`; epochs
            in the part `epochs`.
        per_class: training images of each class; None for all.
        source: name of the supernet, where the arm does not choose it.
    """

    part: str
    target: str
    arm: str
    seed: int
    budget: float
    per_class: int | None = None
    source: str | None = None

    def key(self) -> tuple[Any, ...]:
        """Which row it is."""
        return tuple(asdict(self).values())


@dataclass(frozen=True)
class Budgets:
    """Seconds of each part; of the part `epochs` those of search and of derived training each."""

    main: float = 60.0
    epochs: float = 6.0
    few: float = 20.0
    ablation: float = 20.0
    long: float = 180.0
    matrix: float = 5.0
    wall: tuple[float, ...] = (60.0, 600.0)


def plan(
    parts: Sequence[str],
    budgets: Budgets,
    sources: Mapping[str, Sequence[str]],
    promising: Mapping[str, Sequence[str]] | None = None,
    targets: Sequence[str] = TARGETS,
) -> Iterator[Job]:
    """The jobs of some parts, in the order of the parts and the claims' first.

    Args:
        parts: which.
        budgets: of each.
        sources: for each target the names of the supernets that may answer.
        promising: for each target those of the part `oracle` (`promising_sources`).
        targets: datasets.
    """
    for part in parts:
        if part in ("main", "epochs"):
            budget = budgets.main if part == "main" else budgets.epochs
            for seed in MAIN_SEEDS if part == "main" else SEEDS:
                for target in targets:
                    for arm in ("scratch", "auto"):
                        yield Job(part, target, arm, seed, budget)
        elif part == "few":
            for per_class in FEW:
                for seed in SEEDS:
                    for target in targets:
                        for arm in ("scratch", "auto"):
                            yield Job(part, target, arm, seed, budgets.few, per_class)
        elif part == "ablation":
            for seed in SEEDS:
                for target in targets:
                    for arm in ("both", "weights", "alphas", "neither", "no search", "generalist"):
                        yield Job(part, target, arm, seed, budgets.ablation)
        elif part == "long":
            for arms in (("both", "no search"), ("neither",)):
                for target in targets:
                    for arm in arms:
                        yield Job(part, target, arm, 0, budgets.long)
        elif part == "slow":
            for seed in SEEDS:
                for target in targets:
                    for arm in ("auto", NO_SLOW):
                        yield Job(part, target, arm, seed, budgets.main)
        elif part == "rivals":
            for seed in SEEDS:
                for target in targets:
                    for arm in ("probe", "mobilenet", AS_AUTO, "residual", WITH_PROBE):
                        yield Job(part, target, arm, seed, budgets.main)
        elif part == WALL:
            for budget in budgets.wall:
                for seed in SEEDS:
                    for target in targets:
                        for arm in ("scratch", WITH_PROBE, "auto"):
                            yield Job(part, target, arm, seed, budget)
        elif part == "matrix":
            for target in targets:
                for source in sources[target]:
                    yield Job(part, target, "source", 0, budgets.matrix, None, source)
        elif part == "oracle":
            for target in targets:
                for source in (promising or {}).get(target, ()):
                    yield Job(part, target, "source", 0, budgets.main, None, source)
        elif part == "retrieval":
            for target in targets:
                for method in METHODS:
                    if method != "static":  # from the matrix alone
                        yield Job(part, target, method, 0, 0.0)


PARTS = ("main", "retrieval", "matrix", "few", "rivals", "ablation", "epochs", "oracle", "long", "slow", WALL)


def promising_sources(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Sources that may be the best for each target in a minute, by what there is of other parts.

    The three that validation liked best in the part `matrix`, those that won the races of `main`, and the
    nearest by `class-ot` of the part `retrieval`.
    """
    tried: dict[str, dict[str, float]] = defaultdict(dict)
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["part"] == "matrix":
            tried[row["target"]][row["source"]] = row["val"]
    for target, known in tried.items():
        found[target] = sorted(known, key=lambda name: -known[name])[:3]
    for row in rows:
        known = tried.get(row["target"], {})
        if row["part"] == "main" and row["arm"] == "auto":
            found.setdefault(row["target"], []).append(winner(row))
        elif row["part"] == "retrieval" and row["arm"] == "class-ot":
            found.setdefault(row["target"], []).extend([n for n in row["ranking"] if n in known][:1])
    return {target: list(dict.fromkeys(names)) for target, names in found.items()}


def winner(row: Mapping[str, Any]) -> str:
    """Name of the supernet that won a race."""
    return str(row["from"]).rpartition("-")[0]  # without the digest
