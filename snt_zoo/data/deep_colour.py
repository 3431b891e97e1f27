"""Colour of sixteen bits, of which Pillow keeps the upper eight: of twelve that are filled little is left.

Pillow takes the lower byte of each value in place of the upper one, if it is told that the bytes stand the
other way round.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from snt_zoo.data.rendering import PLAIN, STRIP, Look, Rendering, depth_of

_RAW = re.compile(r"RGBA?;16[BLN]")
_OTHER_END = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

# From this upper byte on all sixteen bits are filled, and it is right as it is.
_FILLED = 64


def fill(image: Image.Image, rendering: Rendering = PLAIN) -> int:
    """Scale an image of sixteen-bit colour by the bits that are filled, in place, if those are few.

    Args:
        image: as it was opened, not decoded yet, from a stream that stays open.
        rendering: how many bits are filled at least.

    Returns:
        The bits that are filled, of `DEPTHS`; 0 for an image of another kind.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None or not _is_deep(image):
        return 0
    stream, tiles = image.fp, image.tile  # decoding lets go of both
    image.load()
    largest = max(int(high) for _, high in image.getextrema()[:3])  # type: ignore[misc]
    bits = depth_of(largest * 256 + (255 if largest else 0))
    if largest >= _FILLED or max(bits, rendering.bits) == 16:
        return bits
    stream.seek(0)
    low = type(image)(stream)
    low.tile = [tile._replace(args=_swapped(tile.args)) for tile in tiles]
    scale = 255.0 / (2 ** max(bits, rendering.bits) - 1)
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        strip, lower = (np.array(part.crop(box)) for part in (image, low))
        values = strip[..., :3] * 256.0 + lower[..., :3]
        strip[..., :3] = np.rint(values * scale)
        image.paste(Image.fromarray(strip), box)
    return bits


def look_at(image: Image.Image) -> Look:
    """`Look.at`, also at sixteen-bit colour."""
    bits = fill(image)
    look = Look.at(image)
    return replace(look, bits=bits) if bits else look


def _is_deep(image: ImageFile.ImageFile) -> bool:
    return bool(image.tile) and all(_RAW.fullmatch(_raw_mode(tile.args)) for tile in image.tile)


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _swapped(args: Any) -> Any:
    raw = _raw_mode(args)
    other = raw[:-1] + _OTHER_END[raw[-1]]
    return (other, *args[1:]) if isinstance(args, tuple) else other
