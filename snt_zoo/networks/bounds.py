"""Bounds on the network that a search hands back: its parameters, its multiply-accumulates and its latency.

A bound is on the whole derived network, head included. It acts on what is sampled (`gdas`), on the alphas'
loss (`Recipe.macs_penalty`) and on the derivation, which takes the most probable genotype that obeys it
(`SearchSpace.best_genotype`, exact). One that no network of the space can meet is an error before any
training, and names the smallest network that there is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from snt_zoo.errors import InfeasibleError, LatencyTableError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.latency.table import LatencyTable
from snt_zoo.networks.spaces import Bound, Choice, Costs, SearchSpace
from snt_zoo.networks.supernet import NetworkConfig


@dataclass(frozen=True)
class Limits:
    """What a derived network may cost at most.

    Args:
        max_params: weights, head included; None for any number.
        max_macs: multiply-accumulates of one image, head included; None for any number.
        max_latency: seconds for one image, as the table predicts them; None for any time.
        table: of the latencies of a machine; needed with `max_latency`.
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_latency: float | None = None
    table: LatencyTable | None = None

    def __post_init__(self) -> None:
        if self.max_latency is not None and self.table is None:
            raise LatencyTableError(
                "a bound on the latency needs a table of latencies: make one with `snt-zoo bench --table`"
            )

    def allow(self, networks: Sequence[tuple[NetworkConfig, Genotype]]) -> bool:
        """Whether networks that answer together are within them, all in all.

        Args:
            networks: each by its config and genotype. One that the table does not know is in no time.
        """
        sizes = [derived_size(*each) for each in networks]
        params, macs = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
        if params > (self.max_params or params) or macs > (self.max_macs or macs):
            return False
        if self.max_latency is None:
            return True
        assert self.table is not None
        try:
            return sum(self.table.predict(*each) for each in networks) <= self.max_latency
        except LatencyTableError:
            return False

    def to_json(self) -> dict[str, Any]:
        """Plain data, by which a run is known again."""
        found: dict[str, Any] = {"max_params": self.max_params, "max_macs": self.max_macs}
        if self.max_latency is not None:
            assert self.table is not None
            found |= {"max_latency": self.max_latency, "latency_table": self.table.describe()}
        return found

    def costs_of(self, config: NetworkConfig, genotype: Genotype) -> dict[str, Any]:
        """What the network of a genotype costs, as plain data; its latency where the table knows it."""
        params, macs = derived_size(config, genotype)
        found: dict[str, Any] = {"params": params, "macs": macs}
        if self.table is not None:
            with contextlib.suppress(LatencyTableError):
                found["latency"] = self.table.predict(config, genotype)
        return found

    def bound(self, config: NetworkConfig) -> Bound | None:
        """The limits as a bound on the trunk of a network; None without limits.

        Raises:
            InfeasibleError: no network of the space obeys them.
            LatencyTableError: an `InfeasibleError`; the table does not know the space at this size.
        """
        if self.max_params is None and self.max_macs is None and self.max_latency is None:
            return None
        space = config.build_space()
        head_params, head_macs = _head(config)
        costs = space.costs(config.input_size)
        bound = Bound(
            costs if self.max_latency is None or self.table is None else self.table.costs(config, costs),
            None if self.max_params is None else self.max_params - head_params,
            None if self.max_macs is None else self.max_macs - head_macs,
            None if self.max_latency is None else int(1e9 * self.max_latency),
        )
        self._check(config, space, bound)
        return bound

    def _check(self, config: NetworkConfig, space: SearchSpace, bound: Bound) -> None:
        """Raise `InfeasibleError` unless some genotype is within the bound."""
        free = {kind: table * 0.0 for kind, table in bound.costs.params.items()}
        if space.best_genotype(free, bound) is not None:
            return
        head_params, head_macs = _head(config)
        costs = bound.costs
        fewest = _smallest(space, costs.params, Bound(costs)).params + head_params
        cheapest = _smallest(space, costs.macs, Bound(costs)).macs + head_macs
        found = f"the smallest has {fewest:,} parameters, the cheapest {cheapest:,} MACs"
        if bound.costs.latency:
            quickest = _quickest(space, Bound(costs))
            found += f", the quickest takes {1000 * quickest:.3g} ms"
        if (
            (self.max_params is None or fewest <= self.max_params)
            and (self.max_macs is None or cheapest <= self.max_macs)
            and self.max_latency is None
        ):
            within = Bound(costs, max_params=bound.max_params)
            macs = _smallest(space, costs.macs, within).macs + head_macs
            found = f"with at most {self.max_params:,} parameters the cheapest has {macs:,} MACs"
        raise InfeasibleError(
            f"no network of the space {config.space} with {config.num_classes} classes at "
            f"{config.input_size} pixels has {self}: {found}; raise the limit, or take a supernet with fewer "
            "channels"
        )

    def __str__(self) -> str:
        parts = []
        if self.max_params is not None:
            parts.append(f"at most {self.max_params:,} parameters")
        if self.max_macs is not None:
            parts.append(f"at most {self.max_macs:,} MACs")
        if self.max_latency is not None:
            parts.append(f"at most {1000 * self.max_latency:g} ms")
        return " and ".join(parts) or "any size"


@dataclass(frozen=True)
class _Size:
    params: int
    macs: int


def derived_size(config: NetworkConfig, genotype: Genotype) -> tuple[int, int]:
    """Parameters and MACs of the network of a genotype, head included, without building it.

    Example:
        >>> config = NetworkConfig("nas_bench_201", {"channels": 16}, num_classes=10)
        >>> net = DerivedModel(config, genotype)  # doctest: +SKIP
        >>> derived_size(config, genotype) == (count_parameters(net), count_macs(net))  # doctest: +SKIP
        True
    """
    space = config.build_space()
    params, macs = space.costs(config.input_size).of(space.pruned(space.choice(genotype)))
    head_params, head_macs = _head(config)
    return params + head_params, macs + head_macs


def _head(config: NetworkConfig) -> tuple[int, int]:
    weights = config.build_space().feature_dim * config.num_classes
    return weights + config.num_classes, weights


def _smallest(space: SearchSpace, table: Mapping[str, Tensor], bound: Bound) -> _Size:
    """Costs of the trunk of the genotype that has least of what the table counts."""
    return _Size(*bound.costs.of(_least(space, table, bound)))


def _quickest(space: SearchSpace, bound: Bound) -> float:
    """Seconds of the network that takes least."""
    return bound.costs.latency_of(_least(space, bound.costs.latency, bound)) / 1e9


def _least(space: SearchSpace, table: Mapping[str, Tensor], bound: Bound) -> Choice:
    largest = max(float(costs.max()) for costs in table.values())
    genotype = space.best_genotype({kind: costs / -max(largest, 1.0) for kind, costs in table.items()}, bound)
    assert genotype is not None
    return space.pruned(space.choice(genotype))


__all__ = ["Costs", "Limits", "derived_size"]
