"""What each choice of a search space costs: parameters and multiply-accumulates of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from snt_zoo.search.spaces.base import Choice


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of a space at one input size, additive over the edges of a path.

    Args:
        fixed_params: parameters of what every derived network has (stem, reductions, last norm; no head).
        fixed_macs: its multiply-accumulates for one image.
        params: for each kind of cell ``edges x operations`` (int64): what a derived network has more of,
            summed over all cells of that kind, when the edge keeps the operation.
        macs: the same for multiply-accumulates.
    """

    fixed_params: int
    fixed_macs: int
    params: Mapping[str, Tensor]
    macs: Mapping[str, Tensor]

    def of(self, choice: Choice) -> tuple[int, int]:
        """Parameters and multiply-accumulates of the trunk along one path."""

        def total(table: Mapping[str, Tensor]) -> int:
            return sum(
                int(table[kind][row, index])
                for kind, path in choice.items()
                for row, index in enumerate(path)
            )

        return self.fixed_params + total(self.params), self.fixed_macs + total(self.macs)
