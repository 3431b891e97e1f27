"""What a process that answers many queries keeps of the bundles that it has read: their sketches and records.

A bundle never changes, so what is kept under its digest is never stale. A sketch takes far more memory than
its file, so the bound is on classes; what was used longest ago goes first. A sketch that several bundles have
is one object (`bundle.sketch_file`), and counts once.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snt_zoo.encoders.sketch import Sketch
    from snt_zoo.registry.catalog.records import Record

RECORDS = 131_072  # at 2 KB each


class KeptBundles:
    """Sketches and records by the digest of their bundle; several threads may use them.

    Args:
        classes: of all sketches together, at most; each takes some 5 KB.
    """

    def __init__(self, classes: int) -> None:
        self._most = classes
        self._count = 0
        self._sketches: OrderedDict[str, tuple[Sketch, ...]] = OrderedDict()
        self._uses: Counter[Sketch] = Counter()
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._digests: tuple[Hashable, dict[str, str]] = (None, {})
        self._lock = threading.Lock()

    def sketches(self, digest: str) -> tuple[Sketch, ...] | None:
        """What is kept; it is then the last to go."""
        with self._lock:
            found = self._sketches.get(digest)
            if found is not None:
                self._sketches.move_to_end(digest)
            return found

    def keep_sketches(self, digest: str, sketches: tuple[Sketch, ...]) -> None:
        """Keep some, and let go of others if need be."""
        with self._lock:
            if digest in self._sketches:
                return
            self._sketches[digest] = sketches
            for sketch in sketches:
                self._uses[sketch] += 1
                self._count += len(sketch.class_names) if self._uses[sketch] == 1 else 0
            while self._count > self._most:
                _, gone = self._sketches.popitem(last=False)
                for sketch in gone:
                    self._uses[sketch] -= 1
                    if not self._uses[sketch]:
                        del self._uses[sketch]
                        self._count -= len(sketch.class_names)

    def digests(self, state: Hashable) -> dict[str, str]:
        """Digests by id in a state of the catalog, to be added to; empty for a new one, and for None."""
        known = self._digests
        if state is None or known[0] != state:
            known = self._digests = (state, {})
        return known[1]

    def records(self, digests: Mapping[str, str]) -> dict[str, Record]:
        """Those that are kept, by id.

        Args:
            digests: of bundles that are there now, by id.
        """
        with self._lock:
            found = {id: self._records[digest] for id, digest in digests.items() if digest in self._records}
            for record in found.values():
                self._records.move_to_end(record.digest)
        # Equal digests are equal bundles, but one can have come back under another id.
        return {id: record for id, record in found.items() if record.id == id}

    def keep_records(self, records: Mapping[str, Record]) -> None:
        """Keep some, and let go of others if need be."""
        with self._lock:
            for record in records.values():
                self._records[record.digest] = record
            while len(self._records) > RECORDS:
                self._records.popitem(last=False)
