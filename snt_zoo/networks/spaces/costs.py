"""What each choice of a search space costs: parameters and multiply-accumulates of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

Choice = Mapping[str, Sequence[int]]
"""For each kind of cell, the index of the chosen operation of each edge."""


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


@dataclass(frozen=True, eq=False)
class Bound:
    """What the trunk of a derived network may cost.

    Args:
        costs: of the space, at the network's input size.
        max_params: most parameters of the trunk; None for any number.
        max_macs: most multiply-accumulates of the trunk for one image; None for any number.
    """

    costs: Costs
    max_params: int | None = None
    max_macs: int | None = None

    def allows(self, choice: Choice) -> bool:
        """Whether a path costs no more than this; see `SearchSpace.pruned` for what a path must be."""
        params, macs = self.costs.of(choice)
        return (self.max_params is None or params <= self.max_params) and (
            self.max_macs is None or macs <= self.max_macs
        )

    def limits(self) -> list[tuple[Mapping[str, Tensor], int]]:
        """Tables of costs, each with what the sum over a path's edges may come to."""
        found: list[tuple[Mapping[str, Tensor], int]] = []
        if self.max_params is not None:
            found.append((self.costs.params, self.max_params - self.costs.fixed_params))
        if self.max_macs is not None:
            found.append((self.costs.macs, self.max_macs - self.costs.fixed_macs))
        return found
