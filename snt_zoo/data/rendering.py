"""How an image of any kind becomes eight-bit RGB, where its file leaves that open.

Transparency says nothing of what lies below: white icons vanish on white. Sixteen-bit files say nothing of
how many bits the camera filled: twelve are nearly black. Both are chosen once for a dataset, by what its
images hold, and kept with a network that was trained on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GROUNDS: Mapping[str, int] = MappingProxyType({"white": 255, "black": 0, "grey": 128})
"""What may lie below transparency, by its level; the first unless it hides images."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and scanners fill of sixteen."""

# An image is faint on a ground where its contrast is below this share of that on the best one. A linear
# probe had 0.92 on black silhouettes, 0.86 at a share of 0.14 and 0.83 below 0.06; on icons 0.77 down to 0.06
# and 0.67 to 0.72 below; at 0 it is chance. White is left where more than one image in twenty is faint on it.
FAINT = 0.1
FAINT_SHARE = 0.05

_LOOK_SIZE = 64  # pixels a side at which contrast is measured
STRIP = 2**20
"""Pixels that are scaled at a time: a float64 copy of a whole image takes eight times its grey."""


@dataclass(frozen=True)
class Rendering:
    """Choices that hold for all images of a dataset.

    Args:
        ground: A key of `GROUNDS`: what transparent pixels are laid on.
        bits: One of `DEPTHS`: how many bits whole numbers of more than eight fill, at least; 0 if none does.
            An image that fills more is scaled by its own.

    Raises:
        ValueError: There is no such ground or depth.

    Example:
        >>> Rendering("black").to_json()
        {'ground': 'black', 'bits': 0}
    """

    ground: str = "white"
    bits: int = 0

    def __post_init__(self) -> None:
        if self.ground not in GROUNDS or self.bits not in (0, *DEPTHS):
            raise ValueError(
                f"expected a ground of {', '.join(GROUNDS)} and bits of 0, {', '.join(map(str, DEPTHS))}, "
                f"got {self.ground!r} and {self.bits!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `Rendering(**data)` takes it."""
        return asdict(self)

    def flat(self, image: Image.Image) -> Image.Image:
        """An image of any mode as eight-bit RGB, or as eight-bit grey, which takes a quarter of the memory.

        Raises:
            ValueError: It holds values that are not numbers.
        """
        if _is_deep(image):
            return self._scaled(image)
        if not image.has_transparency_data:
            return image if image.mode == "L" else image.convert("RGB")
        layer = image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
        ground = Image.new("L", layer.size, GROUNDS[self.ground])
        if layer.mode == "RGBA":
            ground = ground.convert("RGB")
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground

    def _scaled(self, image: Image.Image) -> Image.Image:
        """Deep grey as eight bits (Pillow's ``convert`` would clip it at 255)."""
        low, high = _range(image)
        if image.mode == "F" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif image.mode != "F" and low >= 0 and high <= 65535:
            low, high = 0.0, 2.0 ** max(depth_of(high), self.bits) - 1
        elif low >= 0 and high <= 255:
            low, high = 0.0, 255.0
        # Beyond any usual range (elevations, counts) only the image's own range is left to go by.
        out = np.empty((image.height, image.width), np.uint8)
        for top, values in _strips(image):
            out[top : top + len(values)] = np.rint((values - low) * 255.0 / max(high - low, 1e-12))
        return Image.fromarray(out)


PLAIN = Rendering()
"""What holds where nothing is known of the other images."""


@dataclass(frozen=True)
class Look:
    """What one image says of how its dataset should be rendered.

    Args:
        contrasts: Of an image with transparency, its contrast on each of `GROUNDS`, as a share of the
            largest; empty where nothing is transparent, or all.
        bits: That its values fill, of `DEPTHS`; 0 for an image of eight bits.
    """

    contrasts: tuple[float, ...] = ()
    bits: int = 0

    @classmethod
    def at(cls, image: Image.Image) -> Look:
        """Look at an image, which is decoded if it has transparency or more than eight bits."""
        if _is_deep(image):
            low, high = (0.0, -1.0) if image.mode == "F" else _range(image)
            return cls(bits=depth_of(high) if low >= 0 and 0 <= high <= 65535 else 0)
        if not image.has_transparency_data:
            return cls()
        layer = image.convert("RGBA")
        layer.thumbnail((_LOOK_SIZE, _LOOK_SIZE), reducing_gap=3.0)
        pixels = np.asarray(layer).astype(np.float64)
        colour, alpha = pixels[..., :3], pixels[..., 3:] / 255
        if not 0 < alpha.mean() < 1:
            return cls()
        found = [
            float(np.sqrt((colour * alpha + level * (1 - alpha)).var((0, 1)).mean()))
            for level in GROUNDS.values()
        ]
        return cls(tuple(one / max(found) for one in found) if max(found) > 0 else ())


def choose(looks: Sequence[Look]) -> Rendering:
    """The rendering of a dataset, from a look at some of its images.

    The ground is white unless images vanish on it; then that of the others on which fewest do.
    """
    seen = [look.contrasts for look in looks if look.contrasts]
    faint = {name: sum(contrasts[place] < FAINT for contrasts in seen) for place, name in enumerate(GROUNDS)}
    ground = PLAIN.ground
    if faint[ground] > FAINT_SHARE * len(seen):
        ground = min(faint, key=lambda name: faint[name])
    return Rendering(ground, max((look.bits for look in looks), default=0))


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def depth_of(high: float) -> int:
    """The least of `DEPTHS` that holds a value of at most 65,535."""
    return next(bits for bits in DEPTHS if high < 2**bits)


def _range(image: Image.Image) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, values in _strips(image):
        if not np.isfinite(values).all():
            raise ValueError("it holds values that are not numbers")
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The rows of a deep image as float64, some at a time, each with the place of its first."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        yield top, np.asarray(strip).astype(np.float64)
