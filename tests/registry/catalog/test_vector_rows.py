"""The vectors of a catalog against what was put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.registry.catalog import vector_rows as rows
from tests.registry.vectors import MAKER, brute_force, make_catalog, record, unit_rows


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), max_size=6), after=st.integers(-1, 12))
def test_what_was_put_in_is_found(tmp_path_factory, sizes: list[int], after: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    held = {number: unit_rows(rng, size) for number, size in enumerate(sizes)}
    catalog = make_catalog(Path(tmp_path_factory.mktemp("rows")) / "catalog.sqlite", held)
    query, named = unit_rows(rng, 1)[0], {record(number).id: own for number, own in held.items()}
    with catalog.read() as connection:
        parts = list(rows.chunks(connection))
        ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in parts)])
        assert rows.matching(connection).tolist() == ids.tolist()
        assert rows.count(connection, after=after) == (ids > after).sum()
        assert rows.newest(connection) == max(ids, default=-1)
        if sizes:
            assert np.array_equal(rows.fetch(connection, ids), np.concatenate([*held.values()]))
        best, counted = rows.best_of_bundles(connection, query, ids)
        assert rows.makers(connection) == [MAKER] * bool(sizes) and counted == sum(sizes)
    assert sorted(best) == sorted(named)
    for id, score in brute_force(named, query, len(named)):
        assert abs(best[id] - score) < 1e-6
