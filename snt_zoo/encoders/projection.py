"""The fixed projection that makes features small enough for a sketch.

A Gaussian random matrix (Johnson and Lindenstrauss 1984): squared distances are kept in expectation, with
a relative standard deviation of √(2/dim). It is made from a seed by NumPy's legacy generator, whose
stream is frozen, so that sketches made anywhere, with any release, can be compared.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PROJECTION_ID = "gauss64-unit-v1"
DIM = 64
_SEED = 20260101


@functools.lru_cache(maxsize=4)
def projection(dim_in: int) -> Tensor:
    """The matrix, ``dim_in x DIM``, float32."""
    import numpy as np  # here, as who reads the catalog alone needs neither
    import torch

    rows = np.random.RandomState(_SEED).standard_normal((dim_in, DIM))
    return torch.from_numpy((rows / np.sqrt(DIM)).astype(np.float32))


def project(features: Tensor) -> Tensor:
    """Features scaled to unit length, then projected: ``n x dim_in`` to ``n x DIM``.

    Unit length, because the norm of a backbone's features tells more of contrast and size than of what
    is seen, and differs between backbones.
    """
    import torch

    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return unit @ projection(features.shape[1])
