"""Dataset encoders, for the shortlist; the first is a fixed function of the sketch.

Untrained. The mean of all features and the spread of the class means around it, each scaled to unit
length: what the images look like as a whole, and along which directions the classes differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snt_zoo.encoders.projection import DIM

if TYPE_CHECKING:
    from torch import Tensor

    from snt_zoo.encoders.sketch import Sketch

EMBEDDING_DIM = 2 * DIM


@dataclass(frozen=True)
class DatasetEncoder:
    """What makes the vectors of a registry.

    Args:
        id: stands beside every vector; vectors of different encoders are never compared.
        embed: gives a vector, ``dim``, of a sketch; of any length but zero.
    """

    id: str
    embed: Callable[[Sketch], Tensor]


def embed(sketch: Sketch) -> Tensor:
    """The embedding of a sketch.

    Args:
        sketch: of a dataset.

    Returns:
        float32 ``EMBEDDING_DIM``, of unit length, so that an inner product is a cosine.
    """
    import torch  # here, as who reads the catalog alone needs none
    from torch.nn import functional

    frequencies = sketch.frequencies[:, None]
    means = sketch.means.double()
    centre = (frequencies * means).sum(0)
    spread = (frequencies * (means - centre).square()).sum(0).sqrt()
    parts = [functional.normalize(centre, dim=0), functional.normalize(spread, dim=0)]
    return functional.normalize(torch.cat(parts), dim=0).float()


MOMENTS = DatasetEncoder("moments-v1", embed)
"""The default."""
