"""Frozen image backbones, found by name.

A backbone turns images into features that were learned elsewhere (ImageNet); nothing of it is trained
here. `mobilenet_v2` and `efficientnet_lite0` ship inside the package and need no network. `timm:NAME` takes
any model of timm, with its own input size and normalisation. `NAME@SIZE` looks at images of another size.

Features of different backbones, or at different sizes, are never compared: every sketch carries the id of the
one that made it, and the id has the size unless it is the backbone's own.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from snt_zoo.components import Components
from snt_zoo.data import Normalisation
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import quick_dtype
from snt_zoo.networks.starting import STARTS, starting_supernet

DEFAULT_BACKBONE = "mobilenet_v2"

# Lite0 at 224 pixels takes 4.4 ms an image by 8 and 6.6 by 32, at 96 pixels 1.7 and 1.0 (hint).
_LEAST_BATCH, _MOST_BATCH = 8, 32
_PIXELS_AT_ONCE = 32 * 112**2

SIZES = (32, 1024)
"""The least and the largest side of images that a backbone is asked to look at, in pixels."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network with what it needs to know of its input.

    Args:
        id: name that is stored with everything made by it; with `@` and a size that is not its own.
        network: ``batch x 3 x size x size`` to ``batch x dim``, in eval mode.
        dim: number of features.
        size: side of the input, in pixels.
        normalisation: of the input.
    """

    id: str
    network: nn.Module
    dim: int
    size: int
    normalisation: Normalisation

    def at(self, size: int) -> Backbone:
        """The same network for images of another size, in pixels a side."""
        return self if size == self.size else replace(self, id=f"{self.id}@{size}", size=size)

    def quick(self) -> Backbone:
        """The same in the type that is quick here (`quick_dtype`): for a probe.

        Not for a sketch, which must be the same on every machine.
        """
        dtype = quick_dtype(next(self.network.parameters()).device)
        return self if dtype == torch.float32 else replace(self, network=_converted(self.network, dtype))

    @property
    def exact(self) -> bool:
        """Whether it computes in float32."""
        return next(self.network.parameters()).dtype == torch.float32

    @functools.cached_property
    def digest(self) -> str:
        """A sha256 of its weights: what is kept of another network of this id must not be taken for its."""
        found = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            found.update(name.encode() + tensor.float().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @torch.no_grad()
    def features(self, images: Tensor, *, batch_size: int | None = None) -> Tensor:
        """Features of a batch of images.

        Args:
            images: uint8, ``n x 3 x size x size``.
            batch_size: images in one pass; by default fewer of larger images.

        Returns:
            float32 on the CPU, ``n x dim``.
        """
        weight = next(self.network.parameters())
        device, dtype = weight.device, weight.dtype
        outputs = []
        if batch_size is None:
            batch_size = max(_LEAST_BATCH, min(_MOST_BATCH, _PIXELS_AT_ONCE // self.size**2))
        for part in torch.split(images, batch_size):
            x = self.normalisation(part.to(device)).contiguous(memory_format=torch.channels_last)
            outputs.append(self.network(x.to(dtype)).float().cpu())
        return torch.cat(outputs) if outputs else torch.empty(0, self.dim)


BACKBONES: Components[Callable[[], Backbone]] = Components("backbone", "timm:NAME (any model of timm)")
register_backbone = BACKBONES.register
list_backbones = BACKBONES.names


def get_backbone(name: str = DEFAULT_BACKBONE) -> Backbone:
    """A backbone by name; the last two networks are kept in memory.

    Args:
        name: as `efficientnet_lite0`, or with a size in pixels, as `efficientnet_lite0@160`.

    Example:
        >>> get_backbone("mobilenet_v2@64").size
        64

    Raises:
        UnknownComponentError: no such backbone, here or in timm, its weights cannot be had, or no such size.
    """
    name, at, size = name.partition("@")
    own = _network(name)
    if not at:
        return own
    if not (size.isascii() and size.isdecimal() and SIZES[0] <= int(size) <= SIZES[1]):
        raise UnknownComponentError(
            f"expected a size of {SIZES[0]} to {SIZES[1]} pixels after {name}@, got {size!r}"
        )
    return own.at(int(size))


@functools.lru_cache(maxsize=2)
def _network(name: str) -> Backbone:
    return _from_timm(name) if name.startswith("timm:") else BACKBONES.get(name)()


def _shipped(name: str) -> Callable[[], Backbone]:
    """A starting point as a backbone: the path of its supernet, which is the published network."""

    def make() -> Backbone:
        supernet = starting_supernet(name)
        network = _frozen(_folded(DerivedModel.inherit(supernet).trunk))
        config = supernet.config
        return Backbone(name, network, supernet.space.feature_dim, config.input_size, config.normalisation)

    return make


for _name in STARTS:
    register_backbone(_name)(_shipped(_name))


def _from_timm(name: str) -> Backbone:
    import timm
    from timm.data.config import resolve_model_data_config

    try:
        network = timm.create_model(name.removeprefix("timm:"), pretrained=True, num_classes=0)
    except RuntimeError as error:  # an unknown name, or one without pretrained weights
        raise UnknownComponentError(
            f"timm cannot make {name!r} with pretrained weights ({error}): see timm.list_pretrained()"
        ) from error
    except Exception as error:  # the Hub's client raises errors of many kinds
        raise UnknownComponentError(
            f"the weights of {name!r} cannot be downloaded ({type(error).__name__}): check the network, "
            f"or use the backbone that ships with the package, {DEFAULT_BACKBONE}"
        ) from error
    config = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    normalisation = Normalisation(mean=tuple(config["mean"]), std=tuple(config["std"]))
    network, size = _frozen(network), int(config["input_size"][-1])
    with torch.no_grad():  # a model's num_features is not always the width of what it gives
        dim = network(torch.zeros(1, 3, size, size)).shape[1]
    return Backbone(name, network, dim, size, normalisation)


@functools.lru_cache(maxsize=2)
def _converted(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(dtype)


def _folded(network: nn.Module) -> nn.Module:
    """Batch norms as part of the convolutions before them: the same features, 1.4 times faster on a CPU.

    A module's convolutions and norms must be called in the order in which they are registered.
    """
    network.eval()
    for block in network.modules():
        for (place, conv), (after, norm) in itertools.pairwise(list(block.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, place, fuse_conv_bn_eval(conv, norm))
                setattr(block, after, nn.Identity())
    return network


def _frozen(network: nn.Module) -> nn.Module:
    network = network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)
