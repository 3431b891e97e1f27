"""Networks of all sizes of one supernet, from the cheapest to the dearest.

Random alphas give networks of middling size. So they are tilted by what operations cost, from the cheap ones
to the dear ones, and of all that come of it those are kept that lie evenly on a logarithmic scale of
multiply-accumulates.
"""

from __future__ import annotations

import math

import torch

from snt_zoo.errors import InfeasibleError
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import Supernet

_DRAWN = 8
"""Genotypes that are drawn for each that is kept."""
_TILT = 8.0
"""Largest tilt of the logits, for the dearest operation: it decides then against the noise."""


@torch.no_grad()
def spread(supernet: Supernet, count: int, *, seed: int = 0) -> list[Genotype]:
    """Different genotypes within the supernet's bound.

    Args:
        supernet: whose alphas are the prior, added to the noise.
        count: of them, at most; the supernet's own is among them.
        seed: of the noise.

    Returns:
        By the multiply-accumulates of their networks.
    """
    space, config = supernet.space, supernet.config
    tables = space.costs(config.input_size).macs
    dearest = max(float(table.max()) for table in tables.values())
    generator = torch.Generator().manual_seed(seed)
    prior = {kind: weights.cpu().clamp_min(1e-12).log() for kind, weights in supernet.mixture().items()}
    own = supernet.genotype()
    found = {_path(supernet, own): (own, derived_size(config, own)[1])}
    for number in range(_DRAWN * count):
        tilt = _TILT * (2 * number / max(_DRAWN * count - 1, 1) - 1)
        mixture = {
            kind: (
                logits
                + torch.randn(logits.shape, generator=generator)
                + tilt * tables[kind].float() / max(dearest, 1.0)
            ).softmax(1)
            for kind, logits in prior.items()
        }
        try:
            genotype = space.derive(mixture, supernet.bound)
        except InfeasibleError:
            continue
        found.setdefault(_path(supernet, genotype), (genotype, derived_size(config, genotype)[1]))
    return _evenly(list(found.values()), count, keep=own)


def _path(supernet: Supernet, genotype: Genotype) -> str:
    """What its network computes, as a key: edges that lead nowhere are none."""
    return repr(supernet.space.pruned(supernet.space.choice(genotype)))


def _evenly(networks: list[tuple[Genotype, int]], count: int, *, keep: Genotype) -> list[Genotype]:
    """So many of them, one nearest to each point of a logarithmic scale of sizes."""
    left = sorted(networks, key=lambda each: each[1])
    low, high = math.log(left[0][1]), math.log(left[-1][1])
    kept = [each for each in left if each[0] == keep]
    left = [each for each in left if each[0] != keep]
    for number in range(count - 1):
        if not left:
            break
        wanted = low + (high - low) * number / max(count - 2, 1)
        nearest = min(left, key=lambda each: abs(math.log(each[1]) - wanted))
        left.remove(nearest)
        kept.append(nearest)
    return [genotype for genotype, _ in sorted(kept, key=lambda each: each[1])]
