"""The index in memory against every inner product, sorted, with numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import IndexMismatchError
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors
from snt_zoo.registry.index import index_rule
from snt_zoo.registry.index.base_index import ids_in, keep_only, lists_of, make_base, probes_of, search
from snt_zoo.registry.index.index_rule import calibrate, lists_for, sample_size
from snt_zoo.registry.index.vector_index import VectorIndex
from tests.registry.making import BACKBONE, ENCODER
from tests.registry.vectors import DIM, MAKER, unit_rows

LISTS = 16


def base_of(ids: Ids, vectors: Vectors, *, lists: int):  # type: ignore[no-untyped-def]
    base = make_base(vectors.shape[1], lists, vectors)
    base.add_with_ids(vectors, ids)
    return base


def exact(ids: Ids, vectors: Vectors, query: Vectors, k: int) -> list[int]:
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    return ids[np.argsort(-scores, kind="stable")][:k].tolist()


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


@pytest.fixture(scope="module")
def clustered() -> tuple[Ids, Vectors]:
    """Two thousand vectors around thirty centres, with ids that have gaps."""
    rng = np.random.default_rng(0)
    centres = unit_rows(rng, 30, 32)
    vectors = centres[rng.integers(0, 30, 2000)] + 0.05 * rng.standard_normal((2000, 32), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.arange(2000) * 3 + 5, vectors


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


def test_calibration_probes_as_few_lists_as_the_data_allow(clustered: tuple[Ids, Vectors]) -> None:
    """And as many as queries need that are like the data, but none of them."""
    ids, vectors = clustered
    spread = unit_rows(np.random.default_rng(2), 2000, 32)
    probes = []
    for data in (vectors, spread):
        known, asked = data[:-200], data[-200:]
        base = base_of(ids[:-200], known, lists=LISTS)
        calibrate(base, known[np.random.default_rng(0).permutation(len(known))])
        found = search(base, asked, 32, probes=probes_of(base))[0]
        truth = [exact(ids[:-200], known, query, 32) for query in asked]
        recall = np.mean([len(set(a.tolist()) & set(b)) / 32 for a, b in zip(found, truth, strict=True)])
        assert recall >= 0.98
        probes.append(probes_of(base))
    assert probes[0] <= LISTS // 2 < probes[1] <= LISTS
    flat = base_of(ids, vectors, lists=0)
    calibrate(flat, vectors)
    assert probes_of(flat) == 0


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


def test_the_rule() -> None:
    assert lists_for(0) == lists_for(100_000) == 0
    assert [lists_for(n) for n in (100_001, 10**6, 10**7)] == [512, 2048, 8192]
    sizes = [lists_for(n) for n in np.geomspace(100_001, 10**8, 200).astype(int).tolist()]
    assert sizes == sorted(sizes)
    assert all(sample_size(lists_for(n)) < n for n in (100_001, 10**6, 10**7))
    assert sample_size(512) >= 39 * 512  # below, faiss warns
    assert index_rule.TARGET_RECALL > 0.98


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
