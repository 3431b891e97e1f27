"""POT's network simplex, imported when it is first needed: with all that POT imports it takes a second."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from typing import Any

# POT looks for every library whose arrays it takes, and imports those that are there.
_OTHERS = ("JAX", "CUPY", "TENSORFLOW")


def emd(*args: Any, **options: Any) -> Any:
    """`ot.emd`."""
    return _pot().emd(*args, **options)


def load_meanwhile() -> None:
    """Import POT in a thread, while this one does something else; `emd` waits for it.

    The regressions of scikit-learn too, which POT has imported half of, and a probe needs next.
    """

    def load() -> None:
        with contextlib.suppress(Exception):  # who needs it says what is wrong
            _pot()
            importlib.import_module("sklearn.linear_model")

    threading.Thread(target=load, name="import of POT").start()


def _pot() -> Any:
    for name in _OTHERS:
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{name}", "1")
    import ot

    return ot
