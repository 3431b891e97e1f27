"""A network that was pretrained on ImageNet, as it ships with the package, as a candidate for photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.looking import PHOTOGRAPHS, TIMED_SIZE, pace
from snt_zoo.networks import kernels
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.starting import STARTS, starting_supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.probe_network import looks_parts, looks_size
from snt_zoo.search.adapting.race import PASS_COST

NAME = "efficientnet_lite0"
"""The network, and the candidate's id."""

SIZES = (224, 192, 160, 128, 96)
"""Sides, in pixels, at which it may be trained."""

SMALL = (80, 64, 48)
"""Sides at which it is trained where a limit on multiply-accumulates allows no larger one."""

PASSES = 3
"""Over the training images that half of a budget in seconds must make at the size that is chosen."""

# It has seen a million photographs: its norms are better than those of a few hundred. Rate and crops:
# docs/decisions.md, 140.
RECIPE = {"keep_norms": True, "derived_lr": 0.01, "batch_size": 32, "augmentation": "crop"}


def published_candidates(
    data: ImageDataset,
    changes: Mapping[str, Any],
    *,
    seconds: float | None,
    limits: Limits,
    timer: Callable[[], float] = time.perf_counter,
) -> list[Candidate]:
    """The network at the size that suits the budget and the limits; none for images that are no photographs.

    Args:
        data: the task.
        changes: to the recipe.
        seconds: of the budget; None where epochs are counted.
        limits: of size.
        timer: what counts seconds.
    """
    if data.train.side() < PHOTOGRAPHS:
        return []

    def able(sizes: Sequence[int]) -> list[int]:
        return [size for size in sizes if limits.allow(looks_parts((f"{NAME}@{size}",), data.num_classes))]

    allowed = able(SIZES) or able(SMALL)[:1] or [SIZES[-1]]
    size = allowed[0]
    if seconds is not None:
        # Training takes the type that is quick where the kernels do: `snt_zoo.networks.spaces.mobile.normed`.
        one = PASS_COST * pace(NAME, timer, exact=not kernels.available()) / TIMED_SIZE**2  # for a pixel
        affordable = [size for size in allowed if PASSES * len(data.train) * one * size**2 <= seconds / 2]
        size = (affordable or allowed[-1:])[0]
    made = Candidate.of(NAME, starting_supernet(NAME, input_size=size), changes, breadth=1)
    macs = looks_size((f"{NAME}@{size}",), data.num_classes)[1]
    return [
        replace(
            made,
            macs=macs,
            licences={NAME: STARTS[NAME].licence},
            recipe=made.recipe.override(RECIPE).override(changes),
        )
    ]
