from __future__ import annotations

import itertools

from snt_zoo.data.seeding import derive_seed


def test_seeds_differ_with_every_key() -> None:
    seeds = {derive_seed(*keys) for keys in itertools.product(range(20), ("a", "b"), range(20))}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert derive_seed(1, 23) != derive_seed(12, 3)
    assert derive_seed(2**40) != derive_seed(2**41)  # the CPU's generator alone would draw the same
