"""The derived model: the plain network of a genotype."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.initialise import initialise, materialise
from snt_zoo.networks.supernet import IN_CHANNELS, NetworkConfig, Supernet


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
        self.space = config.build_space()
        self.trunk = self.space.build_derived_trunk(genotype, IN_CHANNELS)
        self.head = nn.Linear(self.space.feature_dim, config.num_classes)

    @classmethod
    def create(cls, config: NetworkConfig, genotype: Genotype, *, generator: torch.Generator) -> DerivedModel:
        """A derived model with fresh weights, drawn from `generator` alone."""
        with torch.device("meta"):
            net = cls(config, genotype)
        materialise(net)
        initialise(net, generator=generator)
        return net.placed("cpu")

    def placed(self, device: torch.device | str) -> DerivedModel:
        """Itself, moved to a device, in the memory format that is fast there."""
        where = torch.device(device)
        return self.to(where, memory_format=self.space.memory_format(where))  # type: ignore[call-overload, no-any-return]

    @classmethod
    def inherit(cls, supernet: Supernet, genotype: Genotype | None = None) -> DerivedModel:
        """The network of a genotype (by default the supernet's own) with the supernet's weights.

        Its batch-norm statistics are those of the mixed network and do not fit: see `recalibrate`.
        """
        genotype = supernet.genotype() if genotype is None else genotype
        net = cls.create(supernet.config, genotype, generator=torch.Generator())
        weight = next(supernet.parameters())
        net.to(weight.dtype).placed(weight.device)
        supernet.trunk.inherit(net.trunk, genotype)
        net.head.load_state_dict(supernet.head.state_dict())
        return net

    def at(self, input_size: int | None) -> DerivedModel:
        """Itself, for images of another size; None changes nothing."""
        if input_size is not None:
            self.config = replace(self.config, input_size=input_size)
        return self

    def take_over(self, other: DerivedModel) -> None:
        """Take the weights of another network of the same supernet where both have the same piece.

        Its batch norms then fit neither: see `recalibrate`.
        """
        theirs = self.space.pieces(other.trunk)
        for name, piece in self.space.pieces(self.trunk).items():
            if name in theirs:
                piece.load_state_dict(theirs[name].state_dict())
        self.head.load_state_dict(other.head.state_dict())

    def features(self, x: Tensor) -> Tensor:
        """``batch x 3 x size x size`` to ``batch x feature_dim``."""
        out: Tensor = self.trunk(x.contiguous(memory_format=self.space.memory_format(x.device)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images, ``batch x 3 x size x size``, to logits, ``batch x num_classes``."""
        out: Tensor = self.head(self.features(x))
        return out
