"""PC-DARTS (Xu et al., ICLR 2020, arXiv 1907.05737): partial channels and edge normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from snt_zoo.data import Split
from snt_zoo.errors import ConfigError
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers.base import register_searcher
from snt_zoo.search.searchers.darts import MixtureSearcher

K = 4  # their choice for small images (section 4.2)


@register_searcher("pc-darts")
class PartialSearcher(MixtureSearcher):
    """DARTS on a supernet of which only 1/K of the channels go through the operations.

    K is the hyperparameter `partial_channels` of the space, and so in every checkpoint and bundle. The
    edges into a node are weighed against each other by parameters of their own (`Supernet.edge_alphas`),
    which take part in the mixture and in the choice of edges. The alphas wait twice as long as in the
    other searchers: 30 % of the search, as theirs do (15 of 50 epochs).
    """

    warmup: ClassVar[float] = 2.0

    @classmethod
    def prepared(cls, config: NetworkConfig) -> NetworkConfig:
        fields = config.build_space().hyperparameters()
        if "partial_channels" not in fields or "partial_channels" in config.hyperparameters:
            return config
        return replace(config, hyperparameters={**config.hyperparameters, "partial_channels": K})

    def __init__(
        self,
        network: Supernet,
        split: Split,
        alpha_split: Split,
        *,
        recipe: Recipe,
        generator: torch.Generator,
        peak_lr: float,
    ) -> None:
        if not network.edge_alphas:
            raise ConfigError(
                f"the searcher pc-darts needs a supernet with partial channels, and this one of the space "
                f"{network.config.space} has none: search from scratch, take a supernet that was pretrained "
                f"with --set partial_channels={K}, or choose another searcher"
            )
        super().__init__(network, split, alpha_split, recipe=recipe, generator=generator, peak_lr=peak_lr)
