"""Bounds on the network that a search hands back: its parameters and its multiply-accumulates.

A bound is on the whole derived network, head included. It acts on what is sampled (`gdas`), on the alphas'
loss (`Recipe.macs_penalty`) and on the derivation, which takes the most probable genotype that obeys it
(`SearchSpace.best_genotype`, exact). One that no network of the space can meet is an error before any
training, and names the smallest network that there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from snt_zoo.errors import InfeasibleError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.spaces import Bound, Costs, SearchSpace
from snt_zoo.networks.supernet import NetworkConfig


@dataclass(frozen=True)
class Limits:
    """What a derived network may cost at most.

    Args:
        max_params: weights, head included; None for any number.
        max_macs: multiply-accumulates of one image, head included; None for any number.
    """

    max_params: int | None = None
    max_macs: int | None = None

    def allow(self, params: int, macs: int) -> bool:
        """Whether a network that costs so much is within them."""
        return params <= (self.max_params or params) and macs <= (self.max_macs or macs)

    def bound(self, config: NetworkConfig) -> Bound | None:
        """The limits as a bound on the trunk of a network; None without limits.

        Raises:
            InfeasibleError: no network of the space obeys them.
        """
        if self.max_params is None and self.max_macs is None:
            return None
        space = config.build_space()
        head_params, head_macs = _head(config)
        bound = Bound(
            space.costs(config.input_size),
            None if self.max_params is None else self.max_params - head_params,
            None if self.max_macs is None else self.max_macs - head_macs,
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
        if (self.max_params is None or fewest <= self.max_params) and (
            self.max_macs is None or cheapest <= self.max_macs
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
    largest = max(float(costs.max()) for costs in table.values())
    genotype = space.best_genotype({kind: costs / -max(largest, 1.0) for kind, costs in table.items()}, bound)
    assert genotype is not None
    return _Size(*bound.costs.of(space.pruned(space.choice(genotype))))


__all__ = ["Costs", "Limits", "derived_size"]
