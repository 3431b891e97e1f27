"""With which backbone, and at which size, a probe looks at somebody's images.

Small images are looked at as the sketch does. Photographs gain much by a better network and more pixels (test
accuracy of a linear probe, mean of nine sets of photographs, `python -m benchmarks.looks --data DIR`), as
long as there is time to look at all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE, get_backbone
from snt_zoo.encoders.probe import MAX_IMAGES

PHOTOGRAPHS = 96
"""Median side, in pixels, from which images are photographs; smaller ones are looked at as by the sketch."""

LOOKS = tuple(f"efficientnet_lite0@{size}" for size in (288, 224, 160, 128, 96))
"""What looks at photographs, best first."""

LOOK_SHARE = 0.4
"""Of a budget in seconds: what looking at photographs may take, as far as the size can be chosen."""

_TIMED = 16  # images by which a look is timed


def choose_look(
    data: ImageDataset,
    *,
    images: int | None = None,
    seconds: float | None = None,
    reading: float = 0.0,
    allowed: Callable[[str], bool] = lambda name: True,
    timer: Callable[[], float] = time.perf_counter,
) -> str:
    """The name of the backbone, with its size, that suits some images and the time there is.

    Args:
        data: the labelled images.
        images: of them that will be looked at; by default all that a probe is fitted to, judged on and
            reported for.
        seconds: for all of these; None for any time.
        reading: seconds that it takes to read one.
        allowed: whether a name is within limits of size.
        timer: what counts seconds.

    Returns:
        A name for `get_backbone`, as the sketch looks where none is allowed; of looks that all take too long
        the quickest.

    Example:
        >>> from snt_zoo import open_dataset
        >>> choose_look(open_dataset("sklearn:digits"))
        'mobilenet_v2'
    """
    if data.train.side() < PHOTOGRAPHS:
        return DEFAULT_BACKBONE
    looks = [name for name in LOOKS if allowed(name)]
    if seconds is None or not looks:
        return looks[0] if looks else DEFAULT_BACKBONE
    if images is None:
        images = min(len(data.train), MAX_IMAGES) + len(data.val) + len(data.test)
    pace, size = _pace(timer)
    for name in looks:
        # Convolutions take time by pixels.
        if images * (reading + pace * (get_backbone(name).size / size) ** 2) <= seconds:
            return name
    return looks[-1]


def _pace(timer: Callable[[], float]) -> tuple[float, int]:
    """Seconds that an image takes in a look of middle size, and that size."""
    backbone = get_backbone(LOOKS[len(LOOKS) // 2]).quick()
    pixels = torch.zeros(_TIMED, 3, backbone.size, backbone.size, dtype=torch.uint8)
    backbone.features(pixels)  # what is new takes longer
    start = timer()
    backbone.features(pixels)
    return (timer() - start) / _TIMED, backbone.size
