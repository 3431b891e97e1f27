"""A network by what it does: how its features relate on a fixed set of images.

Two networks are alike if they find the same images alike, whatever the width of their features and however
those are rotated: the idea of representational similarity analysis (Kriegeskorte et al. 2008), and of centred
kernel alignment (Kornblith et al. 2019, arXiv 1905.00414). The centred Gram matrix of the features of some
images, of length 1, has the linear CKA of two networks as its inner product; a fixed random projection makes
a short vector of it, which keeps inner products on average. So networks of different spaces and sizes
compare.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.errors import DivergenceError
from snt_zoo.formats.tensor_file import load_tensors
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import features, recalibrate

SIDE = 32  # pixels
VERSION = "probes-v1"
"""Stands beside every profile; those of other images or another projection are never compared."""

ASSET = Path(__file__).parent / "assets" / f"{VERSION}.safetensors"
DIM = 96
_LIMIT = 2**20


@functools.cache
def probe_images() -> Split:
    """The images, of several domains; `zoo/probe_images.py` makes them."""
    tensors, _ = load_tensors(ASSET.read_bytes(), what=ASSET.name, limit=_LIMIT)
    pixels = tensors["images"].view(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Split(ArrayStore(pixels), torch.zeros(len(pixels), dtype=torch.int64))


def profile(network: DerivedModel) -> Tensor:
    """The profile of a network.

    Args:
        network: its batch norms are measured on the images, which changes it in place, unless its space may
            hold a published network, whose norms are kept.

    Returns:
        float32 ``DIM``, of about unit length.

    Raises:
        DivergenceError: it computes no numbers.
    """
    images = probe_images()
    if not network.space.may_be_pretrained:
        recalibrate(network, images)
    return profile_of(features(network, images)[0])


def profile_of(found: Tensor) -> Tensor:
    """The profile of features, ``images x dim``; see `profile`."""
    if not bool(found.isfinite().all()):
        raise DivergenceError("the features of a network are not numbers: its weights overflow")
    scale = found.abs().max().clamp_min(1e-30)  # so that no square overflows
    centred = (found / scale).double()
    centred = centred - centred.mean(0)
    gram = centred @ centred.T
    flat = (gram / gram.norm().clamp_min(1e-30)).flatten()
    short: Tensor = _projection(len(found)) @ flat
    return short.float()


@functools.cache
def _projection(images: int) -> Tensor:
    """A fixed random projection of symmetric matrices, ``DIM x images²``."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(DIM, images * images, generator=generator, dtype=torch.float64)
    return drawn.div(DIM**0.5)
