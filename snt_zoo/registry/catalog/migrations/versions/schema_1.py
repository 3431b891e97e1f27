"""Schema 1, of snt-zoo 0.1: bundles in folders, their rows and vectors.

`migration` stamps a catalog of that version with this revision; none is made any more.
"""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: whatever has this revision has its tables."""
