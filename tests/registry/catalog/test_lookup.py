"""Questions to the catalog."""

from __future__ import annotations

from pathlib import Path

from snt_zoo.registry import BundleConfig, Registry
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.records import Record
from tests.registry.making import make_bundle, network


def test_more_ids_than_sqlite_takes_parameters(
    shelf: tuple[Catalog, list[tuple[Record, BundleConfig]]],
) -> None:
    ids = [record.id for record, _ in shelf[1]]
    assert set(shelf[0].get_all([f"{i}" for i in range(40_000)] + ids)) == set(ids)


def test_list_filters(tmp_path: Path, registry: Registry) -> None:
    big = registry.add(make_bundle(tmp_path / "b", net=network(channels=4), name="big"))
    darts = registry.add(
        make_bundle(tmp_path / "d", net=network(space="darts"), name="darts", tags=["x", "y"])
    )
    assert [r.name for r in registry.list()] == ["big", "darts", "leaves", "letters"]
    assert [r.name for r in registry.list(space="darts")] == ["darts"]
    assert [r.name for r in registry.list(tag="y")] == ["darts"]
    assert registry.list(tag="y", space="nas_bench_201") == []
    for bound in {r.params for r in registry.list()}:
        kept = {r.id for r in registry.list(max_params=bound)}
        assert kept == {r.id for r in registry.list() if r.params <= bound}
    for bound in {r.macs for r in registry.list()}:
        kept = {r.id for r in registry.list(max_macs=bound - 1)}
        assert kept == {r.id for r in registry.list() if r.macs < bound}
    assert big in registry.list() and darts in registry.list()
