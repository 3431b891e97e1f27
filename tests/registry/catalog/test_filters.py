"""Filters in SQL against the obvious way: every record, looked at in Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.registry import BundleConfig
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.filters import Bound, Filter
from snt_zoo.registry.catalog.records import Record
from tests.registry.making import config_data, network, source

LICENCES = ("MIT", "mit", "CC-BY-4.0", "cc-by-sa-4.0")
SOURCES = ("fonts", "font_thai", "icons", "a[b]c", "x*y")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, list[tuple[Record, BundleConfig]]]:
    """A catalog of 60 bundles with random facts."""
    catalog = Catalog(tmp_path_factory.mktemp("filters") / "catalog.sqlite", locate=Path)
    catalog.prepare()
    draw = random.Random(0)
    net = network()
    held = []
    for number in range(60):
        data = config_data(
            net,
            name=f"n{number % 7}",
            licence=draw.choice(LICENCES),
            tags=draw.sample(["x", "y", "n1"], draw.randint(0, 3)),
            metrics={
                "val_accuracy": draw.choice([None, 0.25, 0.5]),
                "test_accuracy": draw.choice([None, 0.25, 0.75]),
                **({"ece": draw.random()} if number % 2 else {}),
            },
        )
        names = draw.sample(SOURCES, draw.randint(1, 2))
        data["training"]["datasets"] = [source(name, source=f"hf:{name}/1") for name in names]
        config = BundleConfig.from_data(data)
        record = Record.of(
            config,
            id=f"n{number % 7}-{number:08x}",
            digest=f"{number:064x}",
            encoder="e",
            added_at="2026-11-01T00:00:00+00:00",
            path=Path(f"n{number % 7}-{number:08x}"),
            size=draw.choice([10, 20, 30]),
        )
        catalog.insert(record, np.ones((1, 4), dtype=np.float32) / 2, config=config)
        held.append((record, config))
    return catalog, held


def fits(where: Filter, record: Record, config: BundleConfig) -> bool:
    def like(text: str, pattern: str) -> bool:
        if set(pattern) & set("*?"):
            return fnmatchcase(text, pattern.replace("[", "[[]"))
        return text == pattern

    measured = record.test_accuracy if record.test_accuracy is not None else record.val_accuracy
    metrics = config.metrics.model_dump()
    named = [t for s in config.training.datasets for t in (s.name, s.source, s.fingerprint)]
    checks: list[tuple[Any, Callable[[Any], bool]]] = [
        (where.name, lambda v: like(record.name, v)),
        (where.space, lambda v: record.space == v),
        (where.max_params, lambda v: record.params <= v),
        (where.max_size, lambda v: record.size <= v),
        (where.min_accuracy, lambda v: measured is not None and measured >= v),
        (where.source, lambda v: any(like(name, v) for name in named)),
        (where.licence, lambda v: like(record.licence.lower(), v.lower())),
        (where.tag, lambda v: any(like(tag, v) for tag in record.tags)),
    ]
    bounds = all(
        metrics.get(b.metric) is not None
        and (metrics[b.metric] >= b.value if b.relation == ">=" else metrics[b.metric] <= b.value)
        for b in where.metrics
    )
    excluded = any(w in record.tags or (w != "" and record.id.startswith(w)) for w in where.exclude)
    return all(value is None or check(value) for value, check in checks) and bounds and not excluded


FILTERS = st.builds(
    Filter,
    name=st.sampled_from([None, "n1", "n*", "n?", "zz"]),
    space=st.sampled_from([None, None, "nas_bench_201", "darts"]),
    max_params=st.sampled_from([None, 10**9, 1]),
    max_size=st.sampled_from([None, 10, 25]),
    min_accuracy=st.sampled_from([None, 0.25, 0.5, 0.9]),
    source=st.sampled_from([None, "fonts", "font*", "hf:icons/1", "a[b]c", "a[b]*", "x*y", "nothing"]),
    licence=st.sampled_from([None, "mit", "MIT", "cc-by*", "GPL"]),
    tag=st.sampled_from([None, "x", "n1", "zz"]),
    metrics=st.sampled_from([(), (Bound("ece", ">=", 0.5),), (Bound("val_accuracy", "<=", 0.3),)]),
    exclude=st.sampled_from([(), ("x",), ("n1",), ("n1-0000", "y"), ("",), ("'; DROP TABLE bundles",)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS)
def test_a_filter_chooses_what_a_loop_would(
    shelf: tuple[Catalog, list[tuple[Record, BundleConfig]]], where: Filter
) -> None:
    catalog, held = shelf
    expected = {record.id for record, config in held if fits(where, record, config)}
    assert {record.id for record in catalog.select(where)} == expected == catalog.ids(where)
    if where.is_open:
        assert len(expected) == catalog.count() == 60


def test_what_comes_out_is_what_went_in(
    shelf: tuple[Catalog, list[tuple[Record, BundleConfig]]],
) -> None:
    catalog, held = shelf
    found = catalog.get_all([record.id for record, _ in held] + ["nobody"])
    latest = {alias.id for alias in _aliases(catalog)}
    for record, _ in held:
        got = found[record.id]
        assert got.aliases == (("latest",) if record.id in latest else ())
        assert record == Record(**{**vars(got), "aliases": ()})
    assert len(latest) == 7


def _aliases(catalog: Catalog) -> list[Any]:
    from snt_zoo.registry.catalog.aliases import Aliases

    return Aliases(catalog.database).all()


def test_more_ids_than_sqlite_takes_parameters(
    shelf: tuple[Catalog, list[tuple[Record, BundleConfig]]],
) -> None:
    ids = [record.id for record, _ in shelf[1]]
    assert set(shelf[0].get_all([f"{i}" for i in range(40_000)] + ids)) == set(ids)
