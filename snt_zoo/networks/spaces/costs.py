"""What each choice of a search space costs: parameters, multiply-accumulates and time of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
        fixed_latency: time of what every network has, in nanoseconds, head included, where it is known
            (`snt_zoo.networks.latency`).
        latency: what each choice takes more, in nanoseconds (int64); empty where it is not known.
    """

    fixed_params: int
    fixed_macs: int
    params: Mapping[str, Tensor]
    macs: Mapping[str, Tensor]
    fixed_latency: int = 0
    latency: Mapping[str, Tensor] = field(default_factory=dict)

    def of(self, choice: Choice) -> tuple[int, int]:
        """Parameters and multiply-accumulates of the trunk along one path."""

        return self.fixed_params + _total(self.params, choice), self.fixed_macs + _total(self.macs, choice)

    def latency_of(self, choice: Choice) -> int:
        """Nanoseconds of the network along one path; 0 where the table has none."""
        return self.fixed_latency + _total(self.latency, choice) if self.latency else 0


def _total(table: Mapping[str, Tensor], choice: Choice) -> int:
    return sum(
        int(table[kind][row, index]) for kind, path in choice.items() for row, index in enumerate(path)
    )


@dataclass(frozen=True, eq=False)
class Bound:
    """What the trunk of a derived network may cost.

    Args:
        costs: of the space, at the network's input size.
        max_params: most parameters of the trunk; None for any number.
        max_macs: most multiply-accumulates of the trunk for one image; None for any number.
        max_latency: most nanoseconds of the network for one image; None for any time.
    """

    costs: Costs
    max_params: int | None = None
    max_macs: int | None = None
    max_latency: int | None = None

    def allows(self, choice: Choice) -> bool:
        """Whether a path costs no more than this; see `SearchSpace.pruned` for what a path must be."""
        return all(_total(table, choice) <= most for table, most in self.limits())

    def limits(self) -> list[tuple[Mapping[str, Tensor], int]]:
        """Tables of costs, each with what the sum over a path's edges may come to."""
        found: list[tuple[Mapping[str, Tensor], int]] = []
        if self.max_params is not None:
            found.append((self.costs.params, self.max_params - self.costs.fixed_params))
        return found + [(table, most - fixed) for table, fixed, most in self.work()]

    def work(self) -> list[tuple[Mapping[str, Tensor], int, int]]:
        """What a network does, and not what it weighs: tables, what is fixed, what it may come to."""
        found: list[tuple[Mapping[str, Tensor], int, int]] = []
        if self.max_macs is not None:
            found.append((self.costs.macs, self.costs.fixed_macs, self.max_macs))
        if self.max_latency is not None:
            found.append((self.costs.latency, self.costs.fixed_latency, self.max_latency))
        return found
