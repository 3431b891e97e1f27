"""JSON from outside: read without a surprise, written the same way each time.

Python's parser takes duplicate keys (the last wins), `NaN` and input of any size and depth. A file
that two readers understand differently can pass a check in one and do harm in the other, so all of
that is refused here (RFC 8259, section 4, says that behaviour with duplicate keys is
unpredictable).
"""

from __future__ import annotations

import json
import math
from typing import Any

from snt_zoo.errors import BundleError, ConfigError


def parse_json(
    raw: bytes, *, what: str, limit: int, error: type[BundleError] = ConfigError
) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        raw: UTF-8.
        what: name for the message, such as `config.json`.
        limit: most bytes.
        error: what is raised.

    Raises:
        ConfigError: (or `error`) too large, no UTF-8, no JSON, no object, too deep, a duplicate
        key,
            NaN or infinity.
    """
    if len(raw) > limit:
        raise error(f"{what} must have at most {limit:,} bytes, got {len(raw):,}")
    try:
        data = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as cause:
        raise error(f"{what} must be a plain JSON object, this one is nested too deeply") from cause
    except ValueError as cause:  # covers JSONDecodeError, UnicodeDecodeError and the hooks below
        reason = str(cause).replace("\n", " ")[:200]
        raise error(f"{what} cannot be read as JSON: {reason}") from cause
    if not isinstance(data, dict):
        raise error(f"{what} must be a JSON object, got a {type(data).__name__}")
    return data


def dump_json(data: Any) -> bytes:
    """JSON with sorted keys: the same data give the same bytes, and so the same digest."""
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"the key {key[:64]!r} stands there twice")
        data[key] = value
    return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is good JSON, and infinity in Python
        raise ValueError(f"the number {text[:32]} is too large")
    return value
