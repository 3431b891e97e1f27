"""What `benchmarks.photographs` runs: sets, arms, parts, and which row each of them is."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SETS = (
    "trash6",
    "groceries25",
    "aerial7",
    "animals20",
    "objects25",
    "paintings7",
    "birds15",
    "butterflies10",
    "dishes10",
)
"""Folders of `photos/`; none is a source of the zoo."""

SEEDS = (0, 1, 2)
BUDGETS = (60.0, 600.0)
FEW = (5, 20)
"""Training images of each class in the part `few`."""
FEW_BUDGET = 60.0
FEW_RIVALS = 3
"""Rivals of the part `few`: the strongest of the part `main` in as many seconds."""
MAX_MACS = 60_000_000
PARTS = ("main", "few")


@dataclass(frozen=True)
class Auto:
    """`finetune("auto", …)` as a user gets it."""

    max_macs: int | None = None


@dataclass(frozen=True)
class Probe:
    """Logistic regression on the features of a frozen network; it has no budget and takes its time.

    Args:
        network: one of `benchmarks.photographs_networks`.
        size: side of the images, in pixels.
        crop: the short side is resized to 8/7 of the size and the centre cut out, in place of squashing.
    """

    network: str
    size: int
    crop: bool = False


@dataclass(frozen=True)
class Finetuning:
    """A network trained from the weights of ImageNet until the budget is spent.

    Args:
        network: as of `Probe`, and so is the size.
        frozen: modules of the network that are not trained, from the pixels on; what they give is cached.
    """

    network: str
    size: int
    frozen: int = 0


WEIGHTS = {
    "mobilenet_v2": ("mobilenet_v2_features",),
    "lite0": ("tf_efficientnet_lite0",),
    "lite2": ("efficientnet_lite2", "tf_efficientnet_lite2"),
}
"""Files in `backbones/` of the networks, the first that is there; that of Lite2 need not be."""

Arm = Auto | Probe | Finetuning

PROBES: dict[str, Probe] = {
    "probe, MobileNetV2, 96": Probe("mobilenet_v2", 96),
    "probe, MobileNetV2, 160": Probe("mobilenet_v2", 160),
    "probe, MobileNetV2, 224": Probe("mobilenet_v2", 224),
    "probe, MobileNetV2, 224, centre": Probe("mobilenet_v2", 224, crop=True),
    "probe, Lite0, 96": Probe("lite0", 96),
    "probe, Lite0, 160": Probe("lite0", 160),
    "probe, Lite0, 224": Probe("lite0", 224),
    "probe, Lite0, 224, centre": Probe("lite0", 224, crop=True),
    "probe, Lite2, 96": Probe("lite2", 96),
    "probe, Lite2, 160": Probe("lite2", 160),
    "probe, Lite2, 260": Probe("lite2", 260),
}
MOBILENET_224 = "MobileNetV2, 224"
TRAINED: dict[str, Finetuning] = {
    "MobileNetV2, 128": Finetuning("mobilenet_v2", 128),
    MOBILENET_224: Finetuning("mobilenet_v2", 224),
    "Lite0, 128": Finetuning("lite0", 128),
    "Lite0, 224": Finetuning("lite0", 224),
    "last stages of Lite0, 224": Finetuning("lite0", 224, frozen=7),
}
AUTO, AUTO_MACS = "auto", "auto-macs"
ARMS: dict[str, Arm] = {AUTO: Auto(), AUTO_MACS: Auto(MAX_MACS), **PROBES, **TRAINED}
RIVALS = (*PROBES, *TRAINED)


@dataclass(frozen=True)
class Job:
    """One row.

    Args:
        part: one of `PARTS`.
        set: one of `SETS`, or another folder of `photos/`.
        arm: one of `ARMS`.
        seed: of the run, and of the images that are drawn in the part `few`.
        budget: seconds of wall clock; None for a probe, which counts for every budget that it fits.
        per_class: training images of each class; None for all.
    """

    part: str
    set: str
    arm: str
    seed: int
    budget: float | None
    per_class: int | None = None

    def key(self) -> tuple[Any, ...]:
        """Which row it is."""
        return tuple(asdict(self).values())


def plan(
    part: str,
    *,
    sets: Sequence[str],
    arms: Sequence[str],
    seeds: Sequence[int],
    budgets: Sequence[float],
) -> Iterator[Job]:
    """The jobs of a part: what is cheap first, then seed by seed and set by set.

    A probe of all images is the same for every seed, and is asked once.
    """
    probes = [arm for arm in arms if arm in PROBES]
    others = [arm for arm in arms if arm not in PROBES]
    if part == "main":
        for set in sets:
            for arm in probes:
                yield Job(part, set, arm, 0, None)
        for budget in budgets:
            for seed in seeds:
                for set in sets:
                    for arm in others:
                        yield Job(part, set, arm, seed, budget)
        return
    for per_class in FEW:
        for seed in seeds:
            for set in sets:
                for arm in arms:
                    budget_of = None if arm in probes else FEW_BUDGET
                    yield Job(part, set, arm, seed, budget_of, per_class)


def strongest(rows: Sequence[Mapping[str, Any]], count: int = FEW_RIVALS) -> list[str]:
    """The rivals of the part `main` that did best in a minute on the sets that each was run on."""
    tests: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["part"] == "main" and row["arm"] in RIVALS and in_time(row, FEW_BUDGET):
            tests[row["arm"]][row["set"]].append(row["test"])
    most = max(map(len, tests.values()), default=0)
    means = {
        arm: statistics.fmean(map(statistics.fmean, by_set.values()))
        for arm, by_set in tests.items()
        if len(by_set) == most
    }
    return sorted(means, key=lambda arm: -means[arm])[:count]


def in_time(row: Mapping[str, Any], budget: float) -> bool:
    """Whether a row counts for a budget: it had that one, or none and came to its end within it."""
    own = row["budget"]
    return bool(own == budget if own is not None else row["seconds"] <= budget)


def weights_of(network: str, backbones: Path) -> Path | None:
    """The file of a network's weights, if it is there."""
    files = (backbones / f"{file}.safetensors" for file in WEIGHTS[network])
    return next((file for file in files if file.is_file()), None)
