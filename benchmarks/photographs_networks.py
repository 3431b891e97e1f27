"""The ImageNet networks of `benchmarks.photographs`, as rows of stages: raw pixels in, features out.

The weights are those of `backbones/` in the data. What a network is stays with torchvision and timm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.photographs_plan import WEIGHTS, weights_of


class Normalise(nn.Module):
    """Pixels, uint8 ``batch x 3 x h x w``, as a network of ImageNet wants them, in channels_last."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)).view(3, 1, 1))
        self.register_buffer("shift", -(torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return torch.addcmul(self.get_buffer("shift"), pixels.float(), self.get_buffer("scale"))


@dataclass(frozen=True)
class Source:
    """How a network is made, what its stages are, and what it takes pixels for."""

    make: Callable[[], nn.Module]
    stages: Callable[[nn.Module], list[nn.Module]]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _mobilenet() -> nn.Module:
    features: nn.Module = torchvision.models.mobilenet_v2().features
    return features


def _mobilenet_stages(network: nn.Module) -> list[nn.Module]:
    return [*network.children(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())]


def _lite(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        network: nn.Module = timm.create_model(name, num_classes=0)
        return network

    return make


def _lite_stages(network: nn.Module) -> list[nn.Module]:
    part = dict(network.named_children())
    return [
        nn.Sequential(part["conv_stem"], part["bn1"]),
        *part["blocks"].children(),
        nn.Sequential(part["conv_head"], part["bn2"]),
        part["global_pool"],
    ]


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TENSORFLOW = ((127 / 255,) * 3, (128 / 255,) * 3)
SOURCES = {
    "mobilenet_v2": Source(_mobilenet, _mobilenet_stages, *_IMAGENET),
    "lite0": Source(_lite("tf_efficientnet_lite0"), _lite_stages, *_TENSORFLOW),
    "lite2": Source(
        _lite("tf_efficientnet_lite2"),
        _lite_stages,
        *_TENSORFLOW,
    ),
}


def load(name: str, backbones: Path) -> nn.Sequential:
    """A network with its weights, in eval mode: `Normalise`, then its stages; features ``batch x 1280``.

    Args:
        name: one of `SOURCES`.
        backbones: folder of the weights.
    """
    file = weights_of(name, backbones)
    if file is None:
        raise FileNotFoundError(f"{backbones} has no {WEIGHTS[name][0]}.safetensors")
    network = SOURCES[name].make()
    weights = {key: value.float() for key, value in load_file(file).items()}
    missing, unknown = network.load_state_dict(weights, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ValueError(f"{file} is not of {name}: it lacks {missing[:3]} and has {unknown[:3]} besides")
    return staged(name, network)


def staged(name: str, network: nn.Module) -> nn.Sequential:
    """A network as its stages, in eval mode and in channels_last."""
    source = SOURCES[name]
    stages = nn.Sequential(Normalise(source.mean, source.std), *source.stages(network))
    return stages.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def through(module: nn.Module, inputs: Tensor, batch_size: int = 32) -> Tensor:
    """What a module in eval mode gives for many inputs."""
    return torch.cat([module(part) for part in torch.split(inputs, batch_size)])


@torch.no_grad()
def cost(module: nn.Module, size: int) -> dict[str, int]:
    """Weights, and multiply-accumulates of one image of a size."""
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    params = sum(weight.numel() for weight in module.parameters())
    return {"params": params, "macs": int(counter.get_total_flops()) // 2}
