"""The index in memory against every inner product, sorted, with numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import IndexMismatchError
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index.vector_index import VectorIndex
from tests.registry.index.conftest import LISTS
from tests.registry.making import BACKBONE, ENCODER
from tests.registry.vectors import DIM, MAKER, base_of, exact, unit_rows


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    inside=st.integers(0, 60),
    recent=st.integers(0, 30),
    k=st.integers(0, 100),
    share=st.sampled_from([None, 0.0, 0.1, 0.6, 1.0]),
)
def test_a_flat_base_and_recent_vectors_are_exact(
    seed: int, inside: int, recent: int, k: int, share: float | None
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng, inside + recent)
    ids = np.sort(rng.choice(1000, inside + recent, replace=False))
    base = base_of(ids[:inside], vectors[:inside], lists=0) if inside else None
    index = VectorIndex.of(MAKER, base).with_added(ids[inside:], vectors[inside:], maker=MAKER)
    query = unit_rows(rng, 1)[0]
    allowed = None if share is None else np.append(ids[rng.random(len(ids)) < share], 5000)
    kept = np.ones(len(ids), bool) if allowed is None else np.isin(ids, allowed)
    found, scores = index.search(query, k, maker=MAKER, allowed=allowed)
    assert found.tolist() == exact(ids[kept], vectors[kept], query, k)
    positions = np.searchsorted(ids, found)
    np.testing.assert_allclose(scores, vectors[positions] @ query, atol=1e-6)
    assert len(index) == len(ids)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02, 0.001])
def test_lists_return_k_of_the_allowed_wherever_they_are(
    clustered: tuple[Ids, Vectors], share: float
) -> None:
    """Also if none of them is in a list near the query, and only one list is looked into at first."""
    ids, vectors = clustered
    base = base_of(ids, vectors, lists=LISTS)
    base.nprobe = 1
    index = VectorIndex.of(Maker(BACKBONE, ENCODER, 32), base)
    rng = np.random.default_rng(1)
    for query in unit_rows(rng, 20, 32):
        allowed = rng.choice(ids, max(2, int(share * len(ids))), replace=False)
        found, scores = index.search(query, 10, maker=index.maker, allowed=allowed)
        assert len(found) == min(10, len(allowed)) == len(set(found.tolist()))
        assert np.isin(found, allowed).all()
        assert (np.diff(scores) <= 0).all()
        if share <= 0.02:  # then every list is looked into
            kept = np.isin(ids, allowed)
            assert found.tolist() == exact(ids[kept], vectors[kept], query, 10)
    assert len(index.search(vectors[0], 2000, maker=index.maker)[0]) == 2000


def test_the_index_refuses_a_mix() -> None:
    row = np.eye(DIM, dtype=np.float32)[:1]
    index = VectorIndex.of(MAKER).with_added(np.array([7]), row, maker=MAKER)
    for other in (Maker("x", ENCODER, DIM), Maker(BACKBONE, "x", DIM), Maker(BACKBONE, ENCODER, 4)):
        with pytest.raises(IndexMismatchError, match=r"rebuild_index|--backbone"):
            index.with_added(np.array([8]), row, maker=other)
        with pytest.raises(IndexMismatchError, match=r"rebuild_index|--backbone"):
            index.search(row[0], 1, maker=other)
    assert len(index) == 1
    ids, scores = index.search(row[0], 5, maker=MAKER)
    assert (ids.tolist(), scores.tolist()) == ([7], [1.0])
    assert index.search(row[0], 5, maker=MAKER, allowed=np.array([], dtype=np.int64))[0].size == 0
    assert index.search(row[0], 5, maker=MAKER, allowed=np.array([1, 2]))[0].size == 0
