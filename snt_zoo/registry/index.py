"""The vector index: FAISS over vectors that one backbone and one encoder made."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from snt_zoo.registry.vectors import Maker, Vectors

Ids = NDArray[np.int64]


class VectorIndex:
    """Exact search by inner product; of unit vectors that is the cosine.

    Args:
        maker: backbone, encoder and dimension of everything in it.
    """

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(maker.dim))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors, *, maker: Maker) -> None:
        """Add vectors.

        Args:
            ids: ``n``, not in the index yet.
            vectors: ``n x dim``, of unit length.
            maker: what made them.

        Raises:
            IndexMismatchError: not what made those that are there.
        """
        self.maker.check(maker)
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(ids))

    def search(
        self, vector: Vectors, k: int, *, maker: Maker, allowed: Ids | None = None
    ) -> tuple[Ids, Vectors]:
        """The nearest vectors.

        Args:
            vector: ``dim``, of unit length.
            k: at most so many.
            maker: what made the vector.
            allowed: ids to choose from. The others are left out within the search, so that k of
                these are found if there are as many.

        Returns:
            Ids and scores, best first, each at most ``k`` long.

        Raises:
            IndexMismatchError: not what made those that are there.
        """
        self.maker.check(maker)
        k = min(k, len(self) if allowed is None else len(allowed))
        if k < 1:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        parameters = None
        if allowed is not None:
            # Held by a name until the search is done: faiss keeps a bare pointer to it.
            selector = faiss.IDSelectorBatch(np.ascontiguousarray(allowed))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # set by its wrapper
        scores, ids = self._index.search(np.ascontiguousarray(vector[None]), k, params=parameters)
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]
