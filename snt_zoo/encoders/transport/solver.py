"""POT's network simplex, imported when it is first needed: with all that POT imports it takes a second."""

from __future__ import annotations

import os
from typing import Any

# POT looks for every library whose arrays it takes, and imports those that are there.
_OTHERS = ("JAX", "CUPY", "TENSORFLOW")


def emd(*args: Any, **options: Any) -> Any:
    """`ot.emd`."""
    for name in _OTHERS:
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{name}", "1")
    import ot

    return ot.emd(*args, **options)
