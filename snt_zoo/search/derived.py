"""The derived model: the plain network of a genotype."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snt_zoo.search.genotype import Genotype
from snt_zoo.search.initialise import initialise
from snt_zoo.search.supernet import IN_CHANNELS, NetworkConfig, Supernet


class DerivedModel(nn.Module):
    """A plain network: one operation on each edge, no alphas.

    Args:
        config: space, its hyperparameters, classes and input.
        genotype: which operation each edge keeps.
    """

    def __init__(self, config: NetworkConfig, genotype: Genotype) -> None:
        super().__init__()
        self.config = config
        self.genotype = genotype
        space = config.build_space()
        self.trunk = space.build_derived_trunk(genotype, IN_CHANNELS)
        self.head = nn.Linear(space.feature_dim, config.num_classes)

    @classmethod
    def create(cls, config: NetworkConfig, genotype: Genotype, *, generator: torch.Generator) -> DerivedModel:
        """A derived model with fresh weights, drawn from `generator` alone."""
        with torch.device("meta"):
            net = cls(config, genotype)
        net.to_empty(device="cpu")
        initialise(net, generator=generator)
        return net.to(memory_format=torch.channels_last)

    @classmethod
    def inherit(cls, supernet: Supernet, genotype: Genotype | None = None) -> DerivedModel:
        """The network of a genotype (by default the supernet's own) with the supernet's weights.

        Its batch-norm statistics are those of the mixed network and do not fit: see `recalibrate`.
        """
        genotype = supernet.genotype() if genotype is None else genotype
        net = cls.create(supernet.config, genotype, generator=torch.Generator())
        net.to(next(supernet.parameters()))  # device and type
        supernet.trunk.inherit(net.trunk, genotype)
        net.head.load_state_dict(supernet.head.state_dict())
        return net

    def features(self, x: Tensor) -> Tensor:
        """``batch x 3 x size x size`` to ``batch x feature_dim``."""
        out: Tensor = self.trunk(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images, ``batch x 3 x size x size``, to logits, ``batch x num_classes``."""
        out: Tensor = self.head(self.features(x))
        return out
