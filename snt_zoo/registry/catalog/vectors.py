"""Vectors of sketches, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snt_zoo.errors import IndexMismatchError, RegistryError

if TYPE_CHECKING:
    from torch import Tensor

    from snt_zoo.encoders.embedding import DatasetEncoder
    from snt_zoo.encoders.sketch import Sketch

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Maker:
    """What made a vector; vectors of different makers are never compared.

    Args:
        backbone: id of the backbone, and projection, of the sketch.
        encoder: id of the dataset encoder.
        dim: dimension.
    """

    backbone: str
    encoder: str
    dim: int

    def check(self, other: Maker) -> None:
        """Raise `IndexMismatchError`, which says what to do, unless another's vectors compare.

        Call it on the maker of the vectors that the registry holds.
        """
        if other == self:
            return
        if other.backbone != self.backbone:
            name = self.backbone.rpartition("/")[0] or self.backbone
            raise IndexMismatchError(
                f"the registry's vectors were made by the backbone {self.backbone!r}, these by "
                f"{other.backbone!r}, and cannot be compared: sketch the data again with "
                f"`--backbone {name}`, or keep a registry for each backbone (SNT_ZOO_HOME)"
            )
        raise IndexMismatchError(
            f"the registry's vectors were made by the encoder {self.encoder!r} with {self.dim} "
            f"numbers, these by {other.encoder!r} with {other.dim}, and cannot be compared: make "
            "the registry's anew with Registry.rebuild_index(from_bundles=True)"
        )


def unit(vector: Tensor, *, what: str) -> Vectors:
    """A vector of unit length, so that inner products are cosines.

    Args:
        vector: ``dim``, of any floating type, on any device.
        what: whose vector it is, for the message.

    Returns:
        float32 ``dim``.

    Raises:
        RegistryError: it is no finite vector, or has no direction.
    """
    array = vector.detach().cpu().double().numpy()
    length = float(np.linalg.norm(array))
    if array.ndim != 1 or not np.isfinite(length) or length == 0.0:
        raise RegistryError(
            f"the vector of {what} must be a finite vector other than zero, got shape "
            f"{array.shape} and length {length}: check the encoder"
        )
    result: Vectors = (array / length).astype(np.float32)
    return result


def embeddings(sketches: Sequence[Sketch], encoder: DatasetEncoder) -> Vectors:
    """Unit vectors of sketches, ``n x dim``; raises `RegistryError` as `unit` does."""
    rows = [unit(encoder.embed(sketch), what=f"the sketch of {sketch.name!r}") for sketch in sketches]
    if len({len(row) for row in rows}) != 1:
        raise RegistryError("the encoder gave vectors of different dimensions: it must give one")
    return np.stack(rows)
