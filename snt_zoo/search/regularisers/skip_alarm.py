"""An alarm where DARTS+ (Liang et al. 2019, arXiv 1909.06035) stops: too many edges that compute nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers.base import Regulariser, register_regulariser


@register_regulariser("skip-alarm")
class SkipAlarm(Regulariser):
    """Warns when more than `skip_alarm_share` of a cell's edges skip or have no operation.

    It stops nothing: in spaces with `none` such a network can be a good one.
    """

    def __init__(self, supernet: Supernet, recipe: Recipe, *, sampled: bool) -> None:
        super().__init__(supernet, recipe, sampled=sampled)
        self.shares: list[float] = []

    def share(self, genotype: Genotype) -> float:
        """The largest share of idle edges among the kinds of cells, from 0 to 1."""
        idle = self.supernet.space.idle
        return max(
            Genotype(genotype.space, {kind: edges}).share(*idle) for kind, edges in genotype.cells.items()
        )

    def after_epoch(self) -> None:
        self.shares.append(self.share(self.supernet.genotype()))

    def report(self) -> dict[str, Any]:
        limit, final = self.recipe.skip_alarm_share, self.share(self.supernet.genotype())
        return {
            "threshold": limit,
            "share": final,
            "fired": final > limit,
            "epochs": [epoch for epoch, share in enumerate(self.shares) if share > limit],
        }

    def warnings(self) -> list[str]:
        share, limit = self.share(self.supernet.genotype()), self.recipe.skip_alarm_share
        if share <= limit:
            return []
        idle = " or ".join(self.supernet.space.idle)
        return [
            f"{share:.0%} of the edges of a cell are {idle} (more than {limit:.0%}): the search may have "
            "collapsed; compare with --searcher gdas or a longer budget"
        ]

    def state(self) -> dict[str, Tensor]:
        return {"shares": torch.tensor(self.shares, dtype=torch.float64)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.shares = tensors["shares"].tolist()
