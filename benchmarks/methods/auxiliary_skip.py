"""DARTS- (Chu et al., ICLR 2021, arXiv 2009.01027): an auxiliary skip connection that fades out.

Skip connections win in DARTS partly since they let gradients pass, whatever they are worth as an operation.
An auxiliary skip of weight β on every edge takes that role from the candidate, and β decays from 1 to 0, so
that none of it is left when the architecture is derived. Adding β times a node's state to an edge is adding
β to the weight of its candidate skip: the mixture says it all, and no space knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional

from snt_zoo.search.regularisers.base import Regulariser, register_regulariser


@register_regulariser("auxiliary-skip")
class AuxiliarySkip(Regulariser):
    """Adds β to the column of the skip, linearly from 1 to 0 over the search (section 3.3)."""

    def obstacle(self) -> str | None:
        if self.sampled:
            return "a sampled path has one operation on an edge, so that none is helped by another"
        if self.supernet.space.skip is None:
            return f"the space {self.supernet.config.space} has no skip"
        return None

    def adjusted(self, mixture: Mapping[str, Tensor], progress: float) -> Mapping[str, Tensor]:
        space = self.supernet.space
        assert space.skip is not None
        column = space.operations.index(space.skip)
        last = len(space.operations) - 1 - column
        beta = self.beta(progress)
        return {kind: table + self._bump(table, column, last, beta) for kind, table in mixture.items()}

    @staticmethod
    def beta(progress: float) -> float:
        """Weight of the auxiliary skip at a progress of the search from 0 to 1."""
        return 1.0 - min(max(progress, 0.0), 1.0)

    @staticmethod
    def _bump(table: Tensor, column: int, last: int, beta: float) -> Tensor:
        return functional.pad(table.new_full((len(table), 1), beta), (column, last))

    def report(self) -> dict[str, Any]:
        return {"schedule": "linear from 1 to 0 over the search"}
