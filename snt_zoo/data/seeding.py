"""Seeds from counters: what is drawn for a batch depends on where it stands, not on what was drawn before.

A run that goes on in the middle of an epoch needs no generator's state for it, a step that is repeated
draws the same, and every process of a group draws what one process alone would.
"""

from __future__ import annotations

import hashlib


def derive_seed(*keys: int | str) -> int:
    """A seed for `torch.Generator.manual_seed` that differs with every key.

    32 bits: the generator of the CPU drops the higher ones of its seed.

    Example:
        >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1) != derive_seed(0, "order", 2)
        True
    """
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=4).digest(), "little")
