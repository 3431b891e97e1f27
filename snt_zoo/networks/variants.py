"""Several networks of one supernet: the same weights under other genotypes.

Retrieval is over networks in supernets, as in TANS (arXiv 2103.01495): a supernet holds thousands of them,
which inherit its weights, so that a population for a learned space costs no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import Supernet

OWN, SMALL, LARGE = "own", "small", "large"
"""Kinds of variants: what the alphas stand for, and the cheapest and dearest of some that were drawn."""

_DRAWN = 32
"""Genotypes of which `SMALL` is the cheapest and `LARGE` the dearest, by multiply-accumulates."""


@dataclass(frozen=True)
class Variant:
    """One network of a supernet.

    Args:
        kind: `own`, `small`, `large`, or `random-0`, `random-1`, ….
        genotype: that it has.
    """

    kind: str
    genotype: Genotype


def variants(supernet: Supernet, kinds: Sequence[str], *, seed: int = 0) -> list[Variant]:
    """The networks of some kinds, each genotype once: a kind whose genotype came before is left out.

    Args:
        supernet: whose alphas and space count, not its weights.
        kinds: names as of `Variant`.
        seed: of what is drawn; `random-3` is the same whatever else is asked for.
    """
    found: list[Variant] = []
    for kind in kinds:
        genotype = _genotype(supernet, kind, seed)
        if all(genotype != other.genotype for other in found):
            found.append(Variant(kind, genotype))
    return found


def random_kinds(count: int) -> list[str]:
    """`own`, `small`, `large`, then random ones, in all so many."""
    return [OWN, SMALL, LARGE, *(f"random-{i}" for i in range(count - 3))][:count]


def _genotype(supernet: Supernet, kind: str, seed: int) -> Genotype:
    if kind == OWN:
        return supernet.genotype()
    if kind in (SMALL, LARGE):
        costs = supernet.space.costs(supernet.config.input_size)
        drawn = [_drawn(supernet, seed, number) for number in range(_DRAWN)]
        macs = [costs.of(supernet.space.pruned(supernet.space.choice(each)))[1] for each in drawn]
        return drawn[macs.index(min(macs) if kind == SMALL else max(macs))]
    return _drawn(supernet, seed, _DRAWN + int(kind.removeprefix("random-")))


def _drawn(supernet: Supernet, seed: int, number: int) -> Genotype:
    """The genotype of random alphas, by the space's own rule, so that it is one that alphas can stand for."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + number)
    space = supernet.space
    mixture = {
        kind: torch.rand(len(edges), len(space.operations), generator=generator).softmax(1)
        for kind, edges in space.edges.items()
    }
    return space.discretise(mixture)
