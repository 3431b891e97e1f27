"""Supernets to begin with that were pretrained elsewhere, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

import torch
from safetensors.torch import load_file
from torch import Tensor

from snt_zoo.data import Normalisation
from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks.published import supernet_from_published
from snt_zoo.networks.spaces.mobile import Mobile
from snt_zoo.networks.supernet import NetworkConfig, Supernet


@dataclass(frozen=True)
class Start:
    """A pretrained network that ships with the package, as the path of a supernet.

    Args:
        file: its weights, in `assets/`.
        input_size: side of the images, in pixels, where nothing else is asked for.
        normalisation: of the images.
        licence: of the weights, as NOTICE has it.
        hyperparameters: of the space, where they differ from its defaults.
        space: of the supernet.
    """

    file: str
    input_size: int
    normalisation: Normalisation
    licence: str
    hyperparameters: Mapping[str, int] = field(default_factory=dict)
    space: str = Mobile.name


STARTS = {
    "mobilenet_v2": Start(
        "mobilenet_v2_features",
        96,  # docs/decisions.md, 66
        Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        "MIT",
    ),
    "efficientnet_lite0": Start(
        "tf_efficientnet_lite0",
        224,  # of the published network
        Normalisation(mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        "Apache-2.0",
        {"lite": 1},
    ),
}
"""Starting points by name."""


def starting_supernet(
    name: str = "mobilenet_v2",
    *,
    num_classes: int = 2,
    input_size: int | None = None,
    hyperparameters: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Supernet:
    """A supernet that holds a network pretrained on ImageNet; its head is fresh.

    `mobilenet_v2` and `efficientnet_lite0` are supernets of the space `mobile` (docs/spaces.md): along the
    path of its genotype each gives exactly the features of the published network.

    Args:
        name: of the starting point.
        num_classes: outputs of the head.
        input_size: side of the images, in pixels; that of the starting point by default.
        hyperparameters: of the space, where they differ from those of the starting point: `halvings` below 5
            see small images in finer steps. Others do not fit the weights.
        seed: of the head and the alphas.

    Example:
        >>> starting_supernet(num_classes=10).config.space
        'mobile'

    Raises:
        UnknownComponentError: no starting point of that name.
        ConfigError: the weights do not fit the hyperparameters.
    """
    start = _start(name)
    config = NetworkConfig(
        start.space,
        {**start.hyperparameters, **(hyperparameters or {})},
        num_classes,
        input_size or start.input_size,
        start.normalisation,
    )
    generator = torch.Generator().manual_seed(seed)
    return supernet_from_published(published_weights(name), config, generator=generator)


def published_weights(name: str) -> dict[str, Tensor]:
    """The weights of a starting point, float32, under their published names, from the package's file."""
    path = resources.files("snt_zoo.networks") / "assets" / f"{_start(name).file}.safetensors"
    with resources.as_file(path) as file:
        return {name: tensor.float() for name, tensor in load_file(file).items()}


def _start(name: str) -> Start:
    if name not in STARTS:
        raise UnknownComponentError(f"no starting point {name!r}: choose one of {', '.join(STARTS)}")
    return STARTS[name]


def check_space(name: str, space: str) -> None:
    """Raise `ConfigError` unless a starting point is a supernet of the space that was asked for."""
    if name in STARTS and STARTS[name].space != space:
        raise ConfigError(
            f"{name} begins a supernet of the space {STARTS[name].space}, not of {space}: choose the space "
            f"{STARTS[name].space}"
        )
