"""How many threads compute, and how they wait for each other. It counts only before torch is loaded.

OpenMP lets threads spin while they wait for the slowest one. Where other work runs as well, the slowest is a
thread that the system has put aside, and those that spin keep it waiting: docs/decisions.md, 77.
"""

from __future__ import annotations

import os
import sys
import warnings

VARIABLE = "SNT_ZOO_THREADS"
"""Number of threads; by default as many as OpenMP takes."""

_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""GNU's OpenMP, which torch has on Linux, reads the first; LLVM's and Intel's the second."""
_OWN = (*_PASSIVE, "GOMP_SPINCOUNT")
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def settle() -> None:
    """Let threads sleep while they wait, unless the user has said how they wait; and take their number.

    The environment is changed, so that processes that this one starts do likewise. A number that cannot be
    read is told in a warning and has no effect.
    """
    if not any(name in os.environ for name in _OWN):
        os.environ.update(_PASSIVE)
    given = os.environ.get(VARIABLE, "")
    if not given:
        return
    if not given.isascii() or not given.isdecimal() or int(given) < 1:
        warnings.warn(
            f"{VARIABLE} must be a number of threads, 1 or more, got {given!r}: it has no effect",
            stacklevel=3,
        )
        return
    os.environ.update(dict.fromkeys(_COUNTS, given))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(given))
