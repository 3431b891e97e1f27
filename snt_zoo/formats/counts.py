"""Counts as people write and read them: `2M`, `1.5G`, `500k`."""

from __future__ import annotations

import re
from decimal import Decimal

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgb]?)", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def parse_size(text: str) -> int:
    """A count with an optional k, M or G (or B).

    Example:
        >>> parse_size("1.5M")
        1500000

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a count: write it as 2M, 500k, 1.5G or 2000000")
    exact = Decimal(found[1]) * _FACTORS[found[2].lower()]
    if exact != int(exact) or exact < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(exact)


def format_size(number: int) -> str:
    """A count for people, with three digits: `1.23M`."""
    for factor, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * factor:
            return f"{float(f'{number / factor:.3g}'):g}{suffix}"
    return str(number)
