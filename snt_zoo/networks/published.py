"""A `mobile` supernet that begins with published weights: of MobileNetV2 or of an EfficientNet-Lite.

The path of the published kernels and expansion 6 is then that network, exactly. The rest follows Once-for-All
(Cai et al., ICLR 2020, arXiv 1908.09791, section 3.3): the expanded channels are sorted by importance, so
that a smaller expansion has the most important ones; importance is the L1 norm of the weights that read it.
Larger kernels begin as the published ones with zeros around them, smaller ones as their centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.networks.spaces.mobile import CHAIN, Mobile, Plan
from snt_zoo.networks.spaces.mobile.blocks import ElasticBlock
from snt_zoo.networks.spaces.mobile.norm import SwitchableNorm
from snt_zoo.networks.supernet import NetworkConfig, Supernet

# Alpha of the published operation; the others are about 0. So a path has it in seven blocks of ten:
# docs/decisions.md, "A mobile supernet from ImageNet".
_PRIOR = 3.0

_STATISTICS = ("running_mean", "running_var")


def supernet_from_published(
    state: Mapping[str, Tensor], config: NetworkConfig, *, generator: torch.Generator
) -> Supernet:
    """A `mobile` supernet with the weights of a pretrained network and a fresh head.

    Args:
        state: of torchvision's `mobilenet_v2`, or of its `features` alone; with `lite`, of timm's
            `tf_efficientnet_lite0` or its larger kin. Counters of batches and the classifier are not needed.
        config: of the space `mobile`, with the width, depth and features of the weights. Fewer `halvings`
            keep the weights and see the image in finer steps; they leave the published network.
        generator: of the head and the alphas.

    Returns:
        The supernet, float32 on the CPU. Its genotype is the published network. Batch norms of smaller
        expansions begin with the statistics of the largest: see `recalibrate`.

    Example:
        >>> from torchvision.models import mobilenet_v2
        >>> net = supernet_from_published(
        ...     mobilenet_v2().state_dict(), NetworkConfig("mobile"), generator=torch.Generator()
        ... )

    Raises:
        ConfigError: another space, or weights of another shape.
    """
    if config.space != "mobile":
        raise ConfigError(
            "only a supernet of the space mobile can begin as a MobileNetV2 or an EfficientNet-Lite, not one "
            f"of {config.space}"
        )
    net = Supernet.create(config, generator=generator)
    assert isinstance(net.space, Mobile)
    plan = net.space.plan
    with torch.no_grad():
        _fill(net.trunk, _Source(state), _names(plan))
        for row, block in enumerate(plan.blocks):
            net.alphas[CHAIN][row, block.published] += _PRIOR
    return net


@dataclass(frozen=True)
class _Names:
    """Where a published network keeps what.

    Args:
        ends: for `stem`, `first` and `last` the convolutions and batch norms, in order.
        blocks: for each block with a choice its prefix.
        parts: after the prefix: expansion, its norm, depthwise, its norm, projection, its norm.
    """

    ends: Mapping[str, tuple[str, ...]]
    blocks: tuple[str, ...]
    parts: tuple[str, ...]


def _names(plan: Plan) -> _Names:
    """torchvision's names of a MobileNetV2, less `features.`, and timm's of an EfficientNet-Lite."""
    if not plan.family.same_padding:
        count = len(plan.blocks)
        return _Names(
            {
                "stem": ("0.0", "0.1"),
                "first": ("1.conv.0.0", "1.conv.0.1", "1.conv.1", "1.conv.2"),
                "last": (f"{count + 2}.0", f"{count + 2}.1"),
            },
            tuple(f"{index + 2}.conv" for index in range(count)),
            ("0.0", "0.1", "1.0", "1.1", "2", "3"),
        )
    blocks, stage, place = [], 0, 0
    for index, block in enumerate(plan.blocks):
        begins = index == 0 or (block.c_out != plan.blocks[index - 1].c_out or block.stride > 1)
        stage, place = (stage + 1, 0) if begins else (stage, place + 1)
        blocks.append(f"blocks.{stage}.{place}")
    return _Names(
        {
            "stem": ("conv_stem", "bn1"),
            "first": tuple(f"blocks.0.0.{name}" for name in ("conv_dw", "bn1", "conv_pw", "bn2")),
            "last": ("conv_head", "bn2"),
        },
        tuple(blocks),
        ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"),
    )


_REMEDY = "give the width, depth and features of the pretrained network, and lite=1 for an EfficientNet-Lite"


class _Source:
    """Weights by their published names, each taken once, and its shape checked."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        named = {name.removeprefix("features."): tensor for name, tensor in state.items()}
        self.left = {
            name: tensor
            for name, tensor in named.items()
            if not name.startswith("classifier.") and not name.endswith("num_batches_tracked")
        }

    def take(self, name: str, shape: torch.Size) -> Tensor:
        found = self.left.pop(name, None)
        if found is None or found.shape != shape:
            what = "no such weights" if found is None else f"the shape {tuple(found.shape)}"
            raise ConfigError(
                f"the weights do not fit the supernet: {name} must be {tuple(shape)}, there is {what}; "
                + _REMEDY
            )
        return found.float()

    def fill(self, module: nn.Module, prefix: str) -> None:
        """Copy a convolution or a plain batch norm as it is."""
        for name, tensor in module.state_dict().items():
            if name != "num_batches_tracked":
                tensor.copy_(self.take(f"{prefix}.{name}", tensor.shape))


def _fill(trunk: nn.Module, source: _Source, names: _Names) -> None:
    for part, published in names.ends.items():
        held = [module for module in trunk.get_submodule(part).children() if module.state_dict()]
        for module, name in zip(held, published, strict=True):
            source.fill(module, name)
    for index, prefix in enumerate(names.blocks):
        block = trunk.get_submodule(f"blocks.{index}")
        assert isinstance(block, ElasticBlock)
        _fill_block(block, source, [f"{prefix}.{part}" for part in names.parts])
    if source.left:
        raise ConfigError(
            f"the weights do not fit the supernet: it has no place for {min(source.left)}; {_REMEDY}"
        )


def _fill_block(block: ElasticBlock, source: _Source, names: list[str]) -> None:
    expand, expand_norm, depthwise, depthwise_norm, project, project_norm = names
    wide = block.project.in_channels
    read = source.take(f"{project}.weight", block.project.weight.shape)
    order = read.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    block.project.weight.copy_(read[:, order])
    block.expand.weight.copy_(source.take(f"{expand}.weight", block.expand.weight.shape)[order])
    small = block.plan.published_kernel
    block.depthwise.weight.zero_()
    block.kernel(small).copy_(source.take(f"{depthwise}.weight", torch.Size((wide, 1, small, small)))[order])
    _fill_norm(block.expand_norm, source, expand_norm, order)
    _fill_norm(block.depthwise_norm, source, depthwise_norm, order)
    _fill_norm(block.project_norm, source, project_norm, torch.arange(block.plan.c_out))


def _fill_norm(norm: SwitchableNorm, source: _Source, prefix: str, order: Tensor) -> None:
    shape = torch.Size((norm.channels,))
    for name in ("weight", "bias"):
        getattr(norm, name).copy_(source.take(f"{prefix}.{name}", shape)[order])
    for name in _STATISTICS:
        row = source.take(f"{prefix}.{name}", shape)[order]
        statistics = getattr(norm, name)
        statistics.copy_(row.repeat(len(statistics) // norm.channels))
