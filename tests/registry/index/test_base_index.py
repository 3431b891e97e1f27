"""A FAISS index with ids of our own."""

from __future__ import annotations

import numpy as np
import pytest

from snt_zoo.registry.catalog.vectors import Ids, Vectors
from snt_zoo.registry.index.base_index import ids_in, keep_only, lists_of, search
from tests.registry.index.conftest import LISTS
from tests.registry.vectors import base_of


@pytest.mark.parametrize("lists", [0, LISTS])
def test_keep_only_removes_the_others(clustered: tuple[Ids, Vectors], lists: int) -> None:
    ids, vectors = clustered
    base = base_of(ids, vectors, lists=lists)
    assert lists_of(base) == lists
    assert sorted(ids_in(base).tolist()) == ids.tolist()
    members = np.zeros(ids[-10], dtype=np.bool_)  # of the largest ids nothing is said: they go too
    members[ids[::2][:-10]] = True
    keep_only(base, members)
    assert sorted(ids_in(base).tolist()) == np.flatnonzero(members).tolist()
    base.add_with_ids(vectors[:3], np.array([7000, 7001, 7002]))
    found = search(base, vectors[:3], 1, probes=lists)[0][:, 0].tolist()
    assert (found[0], found[1]) == (5, 7001)  # of equals the first that was added; 8 was removed
