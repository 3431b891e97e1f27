"""From pixels to what a network takes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

Channels = tuple[float, float, float]


@functools.lru_cache(maxsize=32)
def _constant(values: Channels, device: torch.device) -> Tensor:
    # Kept, as building a tensor on a GPU from Python floats in each step would stall it.
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Normalisation:
    """Subtracts a mean and divides by a standard deviation, by channel.

    Args:
        mean: For each of R, G and B, for pixels in [0, 1].
        std: Likewise; above 0.

    Raises:
        ValueError: A value is not finite, or a deviation is not above 0.

    Example:
        >>> Normalisation()(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).unique()
        tensor([2.])
    """

    # Half and a quarter put [0, 1] to [−2, 2] for any kind of image: the zoo's sources are glyphs,
    # icons and photographs, and one supernet must take them all alike.
    mean: Channels = (0.5, 0.5, 0.5)
    std: Channels = (0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise ValueError(f"expected three finite numbers as {name}, got {values}")
            object.__setattr__(self, name, values)  # a list from a config would not be hashable
        if min(self.std) <= 0:
            raise ValueError(f"expected a standard deviation above 0, got {self.std}")

    def __call__(self, batch: Tensor) -> Tensor:
        """Normalises a batch.

        Args:
            batch: uint8 in 0 … 255, or floating in [0, 1]; ``(b, 3, h, w)``.

        Returns:
            float32 ``(b, 3, h, w)``, in the memory format of the batch.
        """
        unit = as_unit(batch)
        mean, std = _constant(self.mean, batch.device), _constant(self.std, batch.device)
        return (unit - mean).div_(std)


def as_unit(batch: Tensor) -> Tensor:
    """Pixels as float32 in [0, 1]: uint8 is divided by 255, floating values stay."""
    if batch.dtype == torch.uint8:
        return batch.to(torch.float32).div_(255.0)
    return batch.to(torch.float32)
