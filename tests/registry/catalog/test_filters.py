"""Filters in SQL against the obvious way: every record, looked at in Python."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.registry import BundleConfig
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.filters import Bound, Filter
from snt_zoo.registry.catalog.records import Record


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


def test_a_licence_is_asked_for_in_any_case_of_letters() -> None:
    assert Filter().allows_licence("Apache-2.0")
    assert Filter(licence="apache*").allows_licence("Apache-2.0")
    assert not Filter(licence="MIT*").allows_licence("Apache-2.0")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("ece<=0.1", Bound("ece", "<=", 0.1)),
        (" val_accuracy >= .5", Bound("val_accuracy", ">=", 0.5)),
        ("x>=-2e-3", Bound("x", ">=", -0.002)),
    ],
)
def test_a_bound_is_read_as_people_write_it(text: str, bound: Bound) -> None:
    assert Bound.parse(text) == bound


@pytest.mark.parametrize(
    "text", ["ece", "ece<0.1", "ece<=", "ece<=nan", "x<=1e999", "<=1", "a b<=1", "ece<=1.2.3"]
)
def test_what_is_no_bound_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        Bound.parse(text)
