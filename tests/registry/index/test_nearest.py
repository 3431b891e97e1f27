"""Search against the obvious way: every cosine, sorted, with numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.vectors import unit
from snt_zoo.registry.index.nearest import NearestBundles
from tests.registry.making import make_bundle, sketch
from tests.registry.vectors import DIM, MAKER, brute_force, record


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, dict[str, np.ndarray]]:
    """Sixty bundles, of which every fifth has many vectors, with gaps in the numbers."""
    made = Catalog(tmp_path_factory.mktemp("catalog") / "catalog.sqlite", locate=Path)
    made.prepare()
    rng = np.random.default_rng(0)
    vectors = {}
    for number in range(60):
        rows = rng.standard_normal((40 if number % 5 == 0 else 1, DIM)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        made.insert(record(number), rows)
        vectors[record(number).id] = rows
    for number in (3, 10, 59):
        made.delete(record(number).id)
        del vectors[record(number).id]
    return made, vectors


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), k=st.integers(1, 70), share=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]))
def test_search_is_the_brute_force(
    catalog: tuple[Catalog, dict[str, np.ndarray]], seed: int, k: int, share: float | None
) -> None:
    rng = np.random.default_rng(seed)
    query = unit(torch.from_numpy(rng.standard_normal(DIM)), what="x")
    allowed = None
    if share is not None:
        allowed = {id for id in catalog[1] if rng.random() < share} | {"not-there"}
    found = NearestBundles(catalog[0].database, Path("not-written")).search(
        query, k, maker=MAKER, allowed=allowed
    )
    expected = brute_force(catalog[1], query, k, allowed)
    assert [id for id, _ in found] == [id for id, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


def test_k_bundles_survive_bundles_with_many_sketches(tmp_path: Path) -> None:
    made = Catalog(tmp_path / "catalog.sqlite", locate=Path)
    made.prepare()
    query = np.eye(DIM, dtype=np.float32)[0]
    near = np.repeat(query[None], 256, axis=0)
    made.insert(record(0), near)
    for number in range(1, 6):
        made.insert(record(number), np.roll(query, number)[None])
    found = NearestBundles(made.database, tmp_path / "index").search(query, 4, maker=MAKER)
    assert [id for id, _ in found] == [record(n).id for n in (0, 1, 2, 3)]


def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    made = Catalog(tmp_path / "catalog.sqlite", locate=Path)
    made.prepare()
    row = np.eye(DIM, dtype=np.float32)[:1]
    for number in (4, 2, 9):
        made.insert(record(number), row)
    found = NearestBundles(made.database, tmp_path / "index").search(row[0], 3, maker=MAKER)
    assert found == [(record(n).id, 1.0) for n in (2, 4, 9)]


def test_a_dataset_is_nearest_to_itself(tmp_path: Path, registry: Registry) -> None:
    for seed in range(3, 8):
        registry.add(
            make_bundle(
                tmp_path / str(seed),
                seed=seed,
                name=f"n{seed}",
                sketches=[sketch(seed=seed), sketch(seed=90 + seed)],
            ),
        )
    for seed in range(3, 8):
        for own in (seed, 90 + seed):
            id, score = registry.search(sketch(seed=own), 1)[0]
            assert registry.show(id).name == f"n{seed}"
            assert score == pytest.approx(1.0, abs=1e-6)


def test_scale_does_not_matter(registry: Registry) -> None:
    expected = registry.search(sketch(seed=1), 2)
    for scale in (64.0, 2.0**-60):
        encoder = replace(MOMENTS, embed=lambda sketch, scale=scale: MOMENTS.embed(sketch).double() * scale)
        assert Registry.open(registry.home, encoder=encoder).search(sketch(seed=1), 2) == expected


def test_an_open_registry_sees_what_another_one_does(good: Path, registry: Registry) -> None:
    query = sketch(seed=0)
    other = Registry.open(registry.home)
    assert len(other.search(query, 9)) == 2
    id = registry.add(good).id
    assert other.search(query, 9)[0][0] == id
    registry.remove(id)
    assert len(other.search(query, 9)) == 2
