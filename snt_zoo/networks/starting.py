"""Supernets to begin with that were pretrained elsewhere, by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import torch
from safetensors.torch import load_file
from torch import Tensor

from snt_zoo.data import Normalisation
from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks.elastic import supernet_from_mobilenet_v2
from snt_zoo.networks.spaces.mobile import Mobile
from snt_zoo.networks.supernet import NetworkConfig, Supernet

MOBILENET_SIZE = 96
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

STARTS = {"mobilenet_v2": Mobile.name}
"""Names of the starting points, each with the search space of its supernet."""


def starting_supernet(
    name: str = "mobilenet_v2",
    *,
    num_classes: int = 2,
    input_size: int | None = None,
    hyperparameters: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Supernet:
    """A supernet that holds a network pretrained on ImageNet; its head is fresh.

    `mobilenet_v2` is a supernet of the space `mobile` (docs/spaces.md): along the path of its genotype it
    gives exactly the features of the MobileNetV2 that ships with the package.

    Args:
        name: of the starting point.
        num_classes: outputs of the head.
        input_size: side of the images, in pixels; 96 by default.
        hyperparameters: of the space, where they differ from its defaults: `halvings` below 5 see small
            images in finer steps. Others do not fit the weights.
        seed: of the head and the alphas.

    Example:
        >>> starting_supernet(num_classes=10).config.space
        'mobile'

    Raises:
        UnknownComponentError: no starting point of that name.
        ConfigError: the weights do not fit the hyperparameters.
    """
    if name not in STARTS:
        raise UnknownComponentError(f"no starting point {name!r}: choose one of {', '.join(STARTS)}")
    config = NetworkConfig(
        STARTS[name], dict(hyperparameters or {}), num_classes, input_size or MOBILENET_SIZE, IMAGENET
    )
    generator = torch.Generator().manual_seed(seed)
    return supernet_from_mobilenet_v2(mobilenet_v2_weights(), config, generator=generator)


def mobilenet_v2_weights() -> dict[str, Tensor]:
    """What is trained of torchvision's `mobilenet_v2().features`, float32, from the file of the package."""
    path = resources.files("snt_zoo.networks") / "assets" / "mobilenet_v2_features.safetensors"
    with resources.as_file(path) as file:
        return {name: tensor.float() for name, tensor in load_file(file).items()}


def check_space(name: str, space: str) -> None:
    """Raise `ConfigError` unless a starting point is a supernet of the space that was asked for."""
    if name in STARTS and STARTS[name] != space:
        raise ConfigError(
            f"{name} begins a supernet of the space {STARTS[name]}, not of {space}: choose the space "
            f"{STARTS[name]}"
        )
