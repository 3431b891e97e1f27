"""Runs a checkout of github microsoft/otdd as it is, for comparison; none of it is copied.

It needs `geomloss==0.2.6`, `joblib` and `tqdm` (`pip install snt-zoo[bench]`). What else it imports and a
distance of features never calls (texts, plots, a solver of assignments) is stood in for by empty modules, and
`torch.symeig`, which left PyTorch in release 2, by `torch.linalg.eigh`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

_NEVER_CALLED = (
    "adjustText",
    "attrdict",
    "celluloid",
    "h5py",
    "munkres",
    "seaborn",
    "torchtext",
    "torchtext.data",
    "torchtext.data.utils",
)


class FeatureSet(Dataset[tuple[Tensor, Tensor]]):
    """Features and labels in the form that the peer reads.

    Args:
        features: ``n x d``.
        labels: int64 ``n``, from 0 to K - 1.
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.data = features.float()
        self.targets = labels
        self.classes = [str(label) for label in range(int(labels.max()) + 1)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.data[index], self.targets[index]


class Peer:
    """The peer's distance.

    Args:
        checkout: folder of the repository.
    """

    def __init__(self, checkout: Path) -> None:
        self._class = _load(checkout)

    def divergence(
        self,
        left: FeatureSet,
        right: FeatureSet,
        *,
        entreg: float,
        sqrt_method: str,
        scaling: float | None = None,
    ) -> float:
        """Debiased Sinkhorn divergence with Gaussian label distances, on its halved squared costs.

        Args:
            left: a dataset.
            right: another.
            entreg: strength of the entropy.
            sqrt_method: `spectral`, its default, or `approximate`.
            scaling: the factor by which geomloss lets the blur fall; None for its default, 0.5, with which
                the last ε has two iterations. Towards 1 the divergence converges.
        """
        with _silence(), _scaling(scaling):
            distance = self._class(
                left,
                right,
                inner_ot_method="gaussian_approx",
                debiased_loss=True,
                p=2,
                entreg=entreg,
                sqrt_method=sqrt_method,
                device="cpu",
                precision="single",
                verbose=0,
            )
            return float(distance.distance(maxsamples=None))


def _load(checkout: Path) -> Any:
    if not (checkout / "otdd" / "pytorch" / "distance.py").is_file():
        raise SystemExit(f"{checkout} is no checkout of github microsoft/otdd: clone it, and name its folder")
    missing = [name for name in _NEVER_CALLED if importlib.util.find_spec(name.partition(".")[0]) is None]
    sys.modules.update({name: _Empty(name) for name in missing})
    for place in (torch, Tensor):
        setattr(place, "symeig", _symeig)  # noqa: B010  # it is still there, but only raises
    sys.path.insert(0, str(checkout))
    with _silence():
        importlib.import_module("geomloss.utils")
        return importlib.import_module("otdd.pytorch.distance").DatasetDistance


def _symeig(matrix: Tensor, eigenvectors: bool = False) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


class _Empty(types.ModuleType):
    """A module in which every name is there and none works."""

    __path__: list[str] = []  # noqa: RUF012  # as importlib wants it of a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextlib.contextmanager
def _scaling(scaling: float | None) -> Iterator[None]:
    import geomloss

    plain = geomloss.SamplesLoss
    if scaling is not None:
        geomloss.SamplesLoss = functools.partial(plain, scaling=scaling)
    try:
        yield
    finally:
        geomloss.SamplesLoss = plain


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Neither its warnings nor its progress bars reach our output."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(_Nowhere()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(_Nowhere()):
                yield
    finally:
        logging.disable(logging.NOTSET)


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False
