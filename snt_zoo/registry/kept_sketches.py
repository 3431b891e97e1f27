"""What a process that answers many queries keeps of the bundles that it has read: their sketches.

A bundle never changes, so what is kept under its digest is never stale. A sketch takes far more memory than
its file, so the bound is on classes; what was used longest ago goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snt_zoo.encoders.sketch import Sketch


class KeptSketches:
    """Sketches by the digest of their bundle; several threads may use them.

    Args:
        classes: of all sketches together, at most; each takes some 16 KB.
    """

    def __init__(self, classes: int) -> None:
        self._most = classes
        self._count = 0
        self._kept: OrderedDict[str, tuple[Sketch, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str) -> tuple[Sketch, ...] | None:
        """What is kept; it is then the last to go."""
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def put(self, digest: str, sketches: tuple[Sketch, ...]) -> None:
        """Keep some, and let go of others if need be."""
        with self._lock:
            if digest in self._kept:
                return
            self._kept[digest] = sketches
            self._count += _classes(sketches)
            while self._count > self._most:
                _, gone = self._kept.popitem(last=False)
                self._count -= _classes(gone)


def _classes(sketches: tuple[Sketch, ...]) -> int:
    return sum(len(sketch.class_names) for sketch in sketches)
