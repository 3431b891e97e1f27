"""How many lists, and how many of them are probed."""

from __future__ import annotations

import numpy as np

from snt_zoo.registry.catalog.vectors import Ids, Vectors
from snt_zoo.registry.index import index_rule
from snt_zoo.registry.index.base_index import probes_of, search
from snt_zoo.registry.index.index_rule import calibrate, lists_for, sample_size
from tests.registry.index.conftest import LISTS
from tests.registry.vectors import base_of, exact, unit_rows


def test_the_rule() -> None:
    assert lists_for(0) == lists_for(100_000) == 0
    assert [lists_for(n) for n in (100_001, 10**6, 10**7)] == [512, 2048, 8192]
    sizes = [lists_for(n) for n in np.geomspace(100_001, 10**8, 200).astype(int).tolist()]
    assert sizes == sorted(sizes)
    assert all(sample_size(lists_for(n)) < n for n in (100_001, 10**6, 10**7))
    assert sample_size(512) >= 39 * 512  # below, faiss warns
    assert index_rule.TARGET_RECALL > 0.98


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
