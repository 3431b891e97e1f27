"""The bundles nearest to a vector: the index over the catalog, and the best sketch of each bundle.

The index lives in memory. It is built from the catalog when a registry first searches, and again
after the catalog has changed, whoever changed it. Nothing is written: faiss reads index files
unsafely, a file could fall out of step with the catalog, and to build from SQLite takes well under
a second for 10⁵ vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from snt_zoo.registry.catalog import Catalog
from snt_zoo.registry.index import Ids, VectorIndex
from snt_zoo.registry.vectors import Maker, Vectors


@dataclass(frozen=True, eq=False)
class _Built:
    """The index of one revision of the catalog; None if there are no vectors."""

    revision: int
    index: VectorIndex | None
    ids: Ids
    owners: dict[int, str]


class NearestBundles:
    """Search over the vectors of a catalog.

    Args:
        catalog: read whenever its revision has changed.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._guard = threading.Lock()
        self._kept: _Built | None = None

    def rebuild(self) -> int:
        """Build the index anew; returns the number of its vectors."""
        with self._guard:
            self._kept = None
        return len(self._built().ids)

    def problems(self) -> list[str]:
        """Where the index differs from the catalog; `rebuild` mends it."""
        built, table = self._built(), self._catalog.vectors()
        if built.revision != table.revision:  # changed in this moment: the next search builds it anew
            return []
        same = built.owners == dict(zip(table.ids.tolist(), table.bundles, strict=True))
        return [] if same else ["the index holds other vectors than the catalog"]

    def search(
        self, vector: Vectors, k: int, *, maker: Maker, allowed: AbstractSet[str] | None = None
    ) -> list[tuple[str, float]]:
        """The bundles whose best sketch is nearest.

        Args:
            vector: ``dim``, of unit length.
            k: at most so many, at least 1.
            maker: what made the vector.
            allowed: ids to choose from; None for all.

        Returns:
            Ids and cosines, best first; of equals the smaller id.

        Raises:
            IndexMismatchError: the vector cannot be compared with the catalog's.
        """
        built = self._built()
        if built.index is None:
            return []
        wanted = None
        if allowed is not None:
            chosen = [id for id, owner in built.owners.items() if owner in allowed]
            wanted = None if len(chosen) == len(built.ids) else np.array(chosen, dtype=np.int64)
        limit = len(built.ids if wanted is None else wanted)
        # A bundle can have many sketches: more vectors are taken until k bundles are among them.
        count = min(limit, 2 * k)
        while True:
            ids, scores = built.index.search(vector, count, maker=maker, allowed=wanted)
            best: dict[str, float] = {}
            for id, score in zip(ids.tolist(), scores.tolist(), strict=True):
                best.setdefault(built.owners[id], min(1.0, max(-1.0, score)))
            if len(best) >= k or count >= limit:
                break
            count = min(limit, 4 * count)
        return sorted(best.items(), key=lambda answer: (-answer[1], answer[0]))[:k]

    def _built(self) -> _Built:
        with self._guard:
            if self._kept is None or self._kept.revision != self._catalog.revision():
                table = self._catalog.vectors()
                index = None
                if table.maker is not None:
                    index = VectorIndex(table.maker)
                    index.add(table.ids, table.vectors, maker=table.maker)
                owners = dict(zip(table.ids.tolist(), table.bundles, strict=True))
                self._kept = _Built(table.revision, index, table.ids, owners)
            return self._kept
