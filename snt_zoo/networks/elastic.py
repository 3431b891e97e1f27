"""A `mobile` supernet that begins with the weights of a pretrained MobileNetV2.

The path of 3×3 kernels and expansion 6 is then that network, exactly. The rest follows Once-for-All (Cai et
al., ICLR 2020, arXiv 1908.09791, section 3.3): the expanded channels are sorted by importance, so that a
smaller expansion has the most important ones; importance is the L1 norm of the weights that read a channel.
Larger kernels begin as the 3×3 ones with zeros around them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.networks.spaces.mobile import CHAIN, KERNELS, Mobile, operation_index
from snt_zoo.networks.spaces.mobile.blocks import ElasticBlock
from snt_zoo.networks.spaces.mobile.norm import SwitchableNorm
from snt_zoo.networks.supernet import NetworkConfig, Supernet

PRETRAINED = operation_index(6, 3)
"""The operation whose weights are those of MobileNetV2 in every block."""
# Its alpha; the others are about 0. So a path has it in seven blocks of ten: docs/decisions.md, "A mobile
# supernet from ImageNet".
_PRIOR = 3.0

_STATISTICS = ("running_mean", "running_var")


def supernet_from_mobilenet_v2(
    state: Mapping[str, Tensor], config: NetworkConfig, *, generator: torch.Generator
) -> Supernet:
    """A `mobile` supernet with the weights of a pretrained MobileNetV2 and a fresh head.

    Args:
        state: of torchvision's `mobilenet_v2`, or of its `features` alone; counters of batches and the
            classifier are not needed.
        config: of the space `mobile`, with the width and features of the weights. Fewer `halvings` keep
            the weights and see the image in finer steps; they leave the published network.
        generator: of the head and the alphas.

    Returns:
        The supernet, float32 on the CPU. Its genotype is `mb_e6_k3` in every block. Batch norms of smaller
        expansions begin with the statistics of the largest: see `recalibrate`.

    Example:
        >>> from torchvision.models import mobilenet_v2
        >>> net = supernet_from_mobilenet_v2(
        ...     mobilenet_v2().state_dict(), NetworkConfig("mobile"), generator=torch.Generator()
        ... )

    Raises:
        ConfigError: another space, or weights of another shape.
    """
    if config.space != "mobile":
        raise ConfigError(
            f"only a supernet of the space mobile can begin as a MobileNetV2, not one of {config.space}"
        )
    net = Supernet.create(config, generator=generator)
    source = _Source(state)
    with torch.no_grad():
        _fill(net, source)
        net.alphas[CHAIN][:, PRETRAINED] += _PRIOR
    return net


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
                f"the weights do not fit the supernet: features.{name} must be {tuple(shape)}, there is "
                f"{what}; give the width and features of the pretrained MobileNetV2, and depth 100"
            )
        return found.float()

    def fill(self, module: nn.Module, prefix: str) -> None:
        """Copy a convolution or a plain batch norm as it is."""
        for name, tensor in module.state_dict().items():
            if name != "num_batches_tracked":
                tensor.copy_(self.take(f"{prefix}.{name}", tensor.shape))


def _fill(net: Supernet, source: _Source) -> None:
    trunk, space = net.trunk, net.space
    assert isinstance(space, Mobile)
    stem, first, last = trunk.get_submodule("stem"), trunk.get_submodule("first"), trunk.get_submodule("last")
    assert isinstance(stem, nn.Sequential) and isinstance(first, nn.Sequential)
    assert isinstance(last, nn.Sequential)
    blocks = len(space.plan.blocks)
    for module, name in (
        *zip(stem[:2], ("0.0", "0.1"), strict=True),
        *zip(
            (first[0], first[1], first[3], first[4]),
            ("1.conv.0.0", "1.conv.0.1", "1.conv.1", "1.conv.2"),
            strict=True,
        ),
        *zip(last[:2], (f"{blocks + 2}.0", f"{blocks + 2}.1"), strict=True),
    ):
        source.fill(module, name)
    for index in range(blocks):
        block = trunk.get_submodule(f"blocks.{index}")
        assert isinstance(block, ElasticBlock)
        _fill_block(block, source, f"{index + 2}.conv")
    if source.left:
        raise ConfigError(
            f"the weights do not fit the supernet: it has no place for features.{min(source.left)}; give "
            "the width and features of the pretrained MobileNetV2, and depth 100"
        )


def _fill_block(block: ElasticBlock, source: _Source, prefix: str) -> None:
    wide = block.project.in_channels
    project = source.take(f"{prefix}.2.weight", block.project.weight.shape)
    order = project.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    block.project.weight.copy_(project[:, order])
    block.expand.weight.copy_(source.take(f"{prefix}.0.0.weight", block.expand.weight.shape)[order])
    small = KERNELS[0]
    margin = (KERNELS[-1] - small) // 2
    block.depthwise.weight.zero_()
    block.depthwise.weight[:, :, margin:-margin, margin:-margin] = source.take(
        f"{prefix}.1.0.weight", torch.Size((wide, 1, small, small))
    )[order]
    _fill_norm(block.expand_norm, source, f"{prefix}.0.1", order)
    _fill_norm(block.depthwise_norm, source, f"{prefix}.1.1", order)
    _fill_norm(block.project_norm, source, f"{prefix}.3", torch.arange(block.plan.c_out))


def _fill_norm(norm: SwitchableNorm, source: _Source, prefix: str, order: Tensor) -> None:
    shape = torch.Size((norm.channels,))
    for name in ("weight", "bias"):
        getattr(norm, name).copy_(source.take(f"{prefix}.{name}", shape)[order])
    for name in _STATISTICS:
        row = source.take(f"{prefix}.{name}", shape)[order]
        statistics = getattr(norm, name)
        statistics.copy_(row.repeat(len(statistics) // norm.channels))
