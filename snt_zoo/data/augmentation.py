"""Random changes of training images that keep their label.

A whole batch is warped by one `affine_grid` and one `grid_sample`, where the batch lies. The random
numbers are drawn on the CPU, one row for each image, so that they are the same on every device and
an image's result does not depend on the others in its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from snt_zoo.errors import UnknownComponentError

# One column for each random choice, used or not: presets that share a generator's state then share
# the choices that they have in common.
_COLUMNS = ("x", "y", "scale", "rotate", "shear", "flip", "brightness", "contrast", "left", "top")

# The value that cutout leaves; mid-grey is zero after the default normalisation, as in the paper.
_ERASED = 0.5


@dataclass(frozen=True)
class Augmentation:
    """Draws a warp, a change of tone and an erased square for each image of a batch.

    Args:
        translate: Largest shift, as a fraction of the side.
        scale: Largest relative change of size: 0.1 draws from 0.9 to 1.1.
        rotate: Largest angle, in degrees.
        shear: Largest horizontal shear, in degrees.
        flip: Whether half of the images are mirrored left to right. Off unless asked for: glyphs,
            arrows and hands are chiral.
        brightness: Largest value added, with pixels in [0, 1].
        contrast: Largest relative change of the distance from mid-grey.
        crop: Least share of the area that is seen, at any place and with its sides in a ratio from 3:4 to
            4:3 (Szegedy et al. 2015, arXiv 1409.4842); 1 to see the whole. With it there is no shift, change
            of size, turn or shear.
        erase: Side of the square that is erased, as a fraction of the side (cutout, DeVries &
            Taylor 2017, arXiv 1708.04552); part of it may lie outside.

    Raises:
        ValueError: A strength is negative, not finite, or so large that nothing would be left.

    Example:
        >>> images = torch.rand(4, 3, 32, 32)
        >>> generator = torch.Generator().manual_seed(0)
        >>> Augmentation.named("safe")(images, generator=generator).shape
        torch.Size([4, 3, 32, 32])
    """

    translate: float = 0.1
    scale: float = 0.1
    rotate: float = 10.0
    shear: float = 0.0
    flip: bool = False
    brightness: float = 0.2
    contrast: float = 0.2
    crop: float = 1.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        limits = {"translate": 1.0, "scale": 0.9, "rotate": 180.0, "shear": 80.0}
        limits |= {"brightness": 1.0, "contrast": 1.0, "crop": 1.0, "erase": 1.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:  # also false for NaN
                raise ValueError(f"expected {name} from 0 to {limit:g}, got {value}")

    @classmethod
    def named(cls, name: str) -> Augmentation:
        """The preset of that name: one of `presets`.

        Raises:
            UnknownComponentError: There is no such preset.
        """
        if name not in _PRESETS:
            raise UnknownComponentError(f"no augmentation is named {name!r}; there are {', '.join(_PRESETS)}")
        return _PRESETS[name]

    @staticmethod
    def presets() -> tuple[str, ...]:
        """The names that `named` takes."""
        return tuple(_PRESETS)

    def __call__(self, images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Changes each image of a batch in its own way.

        Args:
            images: Floating ``(b, 3, h, w)`` in [0, 1].
            generator: On the CPU; torch's own where none is given.

        Returns:
            ``(b, 3, h, w)`` in [0, 1]; ``images`` itself if nothing is to be changed.
        """
        draws = self.draw(len(images), generator=generator)
        return images if draws is None else self.apply(images, draws.to(images.device, non_blocking=True))

    def draw(self, count: int, *, generator: torch.Generator | None = None) -> Tensor | None:
        """What `apply` takes for so many images, on the CPU; none if nothing is to be changed."""
        if self == _PRESETS["none"]:
            return None
        return torch.rand(count, len(_COLUMNS), generator=generator)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Changes a batch as ``draws`` say: uniform in [0, 1), ``(b, 10)``, a row an image."""
        unit = dict(zip(_COLUMNS, draws.to(images.dtype).unbind(1), strict=True))
        signed = {name: 2 * column - 1 for name, column in unit.items()}
        if self.flip:
            images = torch.where((unit["flip"] < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)
        if self.crop < 1:
            images = self._crop(images, unit, signed)
        elif self.translate or self.scale or self.rotate or self.shear:
            images = self._warp(images, signed)
        if self.contrast:
            factor = (1 + self.contrast * signed["contrast"]).view(-1, 1, 1, 1)
            images = (images - 0.5) * factor + 0.5
        if self.brightness:
            images = images + (self.brightness * signed["brightness"]).view(-1, 1, 1, 1)
        if self.contrast or self.brightness:
            images = images.clamp(0, 1)
        return self._erase(images, unit) if self.erase else images

    def _warp(self, images: Tensor, signed: dict[str, Tensor]) -> Tensor:
        angle = math.radians(self.rotate) * signed["rotate"]
        slant = torch.tan(math.radians(self.shear) * signed["shear"])
        zoom = 1 / (1 + self.scale * signed["scale"])
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        height, width = images.shape[-2:]
        # Rows of the map from output to input, whose coordinates run from −1 to 1 on both sides:
        # turning in pixels takes the ratio of the sides.
        shift_x, shift_y = 2 * self.translate * signed["x"], 2 * self.translate * signed["y"]
        to_x = torch.stack([cos, (cos * slant - sin) * (height / width), shift_x], dim=1)
        to_y = torch.stack([sin * (width / height), sin * slant + cos, shift_y], dim=1)
        theta = torch.stack([to_x, to_y], dim=1)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        # The border goes on outwards: zeros would frame an icon that stands on white.
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _crop(self, images: Tensor, unit: dict[str, Tensor], signed: dict[str, Tensor]) -> Tensor:
        area = self.crop + (1 - self.crop) * unit["scale"]
        ratio = (signed["shear"] * math.log(4 / 3)).exp()  # of the sides, as parts of the image's
        width, height = ((area * each).sqrt().clamp(max=1.0) for each in (ratio, 1 / ratio))
        zero = torch.zeros_like(width)
        to_x = torch.stack([width, zero, (1 - width) * signed["x"]], dim=1)
        to_y = torch.stack([zero, height, (1 - height) * signed["y"]], dim=1)
        grid = functional.affine_grid(
            torch.stack([to_x, to_y], dim=1), list(images.shape), align_corners=False
        )
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _erase(self, images: Tensor, unit: dict[str, Tensor]) -> Tensor:
        height, width = images.shape[-2:]
        x = (torch.arange(width, device=images.device) + 0.5) / width
        y = (torch.arange(height, device=images.device) + 0.5) / height
        in_column = (x - unit["left"].unsqueeze(1)).abs() < self.erase / 2
        in_row = (y - unit["top"].unsqueeze(1)).abs() < self.erase / 2
        return images.masked_fill((in_row[:, :, None] & in_column[:, None, :])[:, None], _ERASED)


# Twice as far as `safe` and a small square erased: for long runs on few images.
_STRONG = Augmentation(
    translate=0.15, scale=0.2, rotate=15.0, shear=10.0, brightness=0.3, contrast=0.4, erase=0.25
)
_PRESETS = MappingProxyType(
    {
        "none": Augmentation(translate=0.0, scale=0.0, rotate=0.0, brightness=0.0, contrast=0.0),
        "safe": Augmentation(),
        "flip": Augmentation(flip=True),
        # For photographs: mirrored, and half the side erased as DARTS does for CIFAR-10.
        "cutout": Augmentation(flip=True, erase=0.5),
        "strong": _STRONG,
        "strong-flip": replace(_STRONG, flip=True),
        # For photographs, as networks of ImageNet are finetuned: parts of at least half, and mirror images.
        "crop": Augmentation(
            translate=0.0, scale=0.0, rotate=0.0, brightness=0.0, contrast=0.0, flip=True, crop=0.5
        ),
    }
)
