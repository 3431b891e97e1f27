"""With which backbones, and at which sizes, a probe looks at somebody's images.

Small images are looked at as by the sketch, and by a better network besides where that matters. Photographs
gain much by a better network and by more pixels, and a little by several looks that answer together
(`python -m benchmarks.looks --data DIR`): as there is time.
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

Looks = tuple[str, ...]
"""Names for `get_backbone`, of probes that answer together."""

LOOKS: tuple[Looks, ...] = (
    ("efficientnet_lite0@288", "efficientnet_lite0@224", "mobilenet_v2@224"),
    ("efficientnet_lite0@288",),
    ("efficientnet_lite0@224",),
    ("efficientnet_lite0@160",),
    ("efficientnet_lite0@128",),
    ("efficientnet_lite0@96",),
)
"""What looks at photographs, best first: docs/decisions.md, 87."""

CLOSER: Looks = ("efficientnet_lite0@160", "efficientnet_lite0@224")
"""What looks at small images besides, where a probe answers for them: docs/decisions.md, 111."""

LOOK_SHARE = 0.5
"""Of a budget in seconds: what looking at photographs may take, as far as the size can be chosen."""

TIMED_SIZE = 160
"""Side, in pixels, of the images by which looks are timed."""

_TIMED = 16  # of them


def choose_looks(
    data: ImageDataset,
    *,
    images: int | None = None,
    seconds: float | None = None,
    reading: float = 0.0,
    most: int = 3,
    allowed: Callable[[Looks], bool] = lambda looks: True,
    timer: Callable[[], float] = time.perf_counter,
) -> Looks:
    """The backbones, with their sizes, that suit some images and the time there is.

    Args:
        data: the labelled images.
        images: of them that will be looked at; by default all that a probe is fitted to, judged on and
            reported for.
        seconds: for all of these; None for any time.
        reading: seconds that it takes to read one.
        most: of them that answer together.
        allowed: whether they are within limits of size.
        timer: what counts seconds.

    Returns:
        At least one name; that of the sketch's backbone where none is allowed; of looks that all take too
        long the quickest.

    Example:
        >>> from snt_zoo import open_dataset
        >>> choose_looks(open_dataset("sklearn:digits"))
        ('mobilenet_v2',)
    """
    small = (DEFAULT_BACKBONE,)
    if data.train.side() < PHOTOGRAPHS:
        return small
    able = [looks for looks in LOOKS if len(looks) <= most and allowed(looks)]
    if seconds is None or not able:
        return able[0] if able else small
    if images is None:
        images = min(len(data.train), MAX_IMAGES) + len(data.val) + len(data.test)
    paces: dict[str, float] = {}
    for looks in able:
        one = 0.0
        for look in looks:
            name = look.partition("@")[0]
            if name not in paces:
                paces[name] = pace(name, timer)
            # Convolutions take time by pixels.
            one += reading + paces[name] * (get_backbone(look).size / TIMED_SIZE) ** 2
        if images * one <= seconds:
            return looks
    return able[-1]


def pace(name: str, timer: Callable[[], float], *, exact: bool = False) -> float:
    """Seconds that an image of `TIMED_SIZE` takes of a backbone; `exact` for that in float32."""
    backbone = get_backbone(f"{name}@{TIMED_SIZE}")
    backbone = backbone if exact else backbone.quick()
    pixels = torch.zeros(_TIMED, 3, backbone.size, backbone.size, dtype=torch.uint8)
    backbone.features(pixels)  # what is new takes longer
    start = timer()
    backbone.features(pixels)
    return (timer() - start) / _TIMED
