"""The vector index: FAISS over vectors that one backbone and one encoder made.

Two parts: a base that is never changed once it is in use, so that it can lie in a file that several
processes map, and the few vectors that came since, which are compared one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index.base_index import Members, lists_of, probes_of, search
from snt_zoo.registry.index.index_rule import CALIBRATED_K


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """Search by inner product; of unit vectors that is the cosine.

    Immutable, so threads may share it.

    Args:
        maker: backbone, encoder and dimension of everything in it.
        base: a FAISS index with ids, or None; not to be changed any more.
        recent_ids: of the vectors that are not in the base, ``n``.
        recent: these vectors, ``n x dim``.
    """

    maker: Maker
    base: faiss.Index | None
    recent_ids: Ids
    recent: Vectors

    @classmethod
    def of(cls, maker: Maker, base: faiss.Index | None = None) -> VectorIndex:
        """The index of a base alone, or an empty one."""
        return cls(maker, base, np.empty(0, np.int64), np.empty((0, maker.dim), np.float32))

    def __len__(self) -> int:
        return self._base_size + len(self.recent_ids)

    def with_added(self, ids: Ids, vectors: Vectors, *, maker: Maker) -> VectorIndex:
        """The index that also has these vectors.

        Args:
            ids: ``n``, not negative, not in the index yet.
            vectors: ``n x dim``, of unit length.
            maker: what made them.

        Raises:
            IndexMismatchError: not what made those that are there.
        """
        self.maker.check(maker)
        recent_ids, recent = np.concatenate([self.recent_ids, ids]), np.concatenate([self.recent, vectors])
        return VectorIndex(self.maker, self.base, recent_ids, recent)

    def search(
        self, vector: Vectors, k: int, *, maker: Maker, allowed: Ids | None = None
    ) -> tuple[Ids, Vectors]:
        """The nearest vectors; over a base with inverted lists nearly all of them are found.

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
        members = None if allowed is None else self._members(allowed)
        ids, scores = self._search_base(vector, k, members, 0 if allowed is None else len(allowed))
        kept = slice(None) if members is None else members[self.recent_ids]
        ids = np.concatenate([ids, self.recent_ids[kept]])
        scores = np.concatenate([scores, self.recent[kept] @ vector])
        best = np.argsort(-scores, kind="stable")[: max(k, 0)]
        return ids[best], scores[best]

    @property
    def _base_size(self) -> int:
        return 0 if self.base is None else int(self.base.ntotal)

    def _members(self, allowed: Ids) -> Members:
        """Whether an id is allowed, for every id up to the largest."""
        size = 1 + max(int(ids.max(initial=0)) for ids in (allowed, self.recent_ids))
        members = np.zeros(size, dtype=np.bool_)
        members[allowed] = True
        return members

    def _search_base(
        self, vector: Vectors, k: int, members: Members | None, chosen: int
    ) -> tuple[Ids, Vectors]:
        limit = self._base_size if members is None else min(self._base_size, chosen)
        k = min(k, limit)
        if self.base is None or k < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        # The fewer vectors are allowed, and the more are wanted, the more lists it takes to find them.
        lists = lists_of(self.base)
        wider = max(1.0, k / (2 * CALIBRATED_K)) * self._base_size / limit
        probes = min(lists, math.ceil(probes_of(self.base) * wider))
        while True:
            ids, scores = search(self.base, vector[None], k, probes=probes, members=members)
            found = ids[0] >= 0
            if bool(found.all()) or probes == lists:
                return ids[0][found], scores[0][found]
            probes = min(lists, 4 * probes)
