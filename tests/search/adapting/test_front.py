"""Points, and which of them no other dominates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.latency.table import LatencyTable, Row, key_of
from snt_zoo.search.adapting.front import Front, Point, non_dominated
from tests.conftest import TINY, MakeSupernet

POINTS = st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)), min_size=1)


@given(POINTS)
def test_what_is_kept_dominates_all_the_rest(points: list[tuple[float, float]]) -> None:
    def beats(left: int, right: int) -> bool:
        better = points[left][0] >= points[right][0] and points[left][1] <= points[right][1]
        return better and points[left] != points[right]

    kept = non_dominated(points)
    everyone = range(len(points))
    assert not any(beats(other, index) for index in kept for other in everyone)
    for index in set(everyone) - set(kept):
        assert any(beats(one, index) or points[one] == points[index] for one in kept)
    assert [points[index][1] for index in kept] == sorted({points[index][1] for index in kept})


def point(model: DerivedModel, val: float, macs: int) -> Point:
    return Point(model, {"val": val, "test": val}, 10, macs, {"finetuned": val})


def test_a_front_is_parted_again_when_another_point_joins(make_supernet: MakeSupernet) -> None:
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"]))
    front = Front.of([point(model, 0.5, 1), point(model, 0.4, 2), point(model, 0.9, 3)], [(1, 0.1)])
    assert [each.macs for each in front.points] == [1, 3]
    assert [each.macs for each in front.dominated] == [2]
    joined = front.joined_by(point(model, 0.95, 2))
    assert [each.macs for each in joined.points] == [1, 2]
    assert joined.compared == ((1, 0.1),)


def test_latencies_are_those_of_a_table_that_knows_the_network(make_supernet: MakeSupernet) -> None:
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"]))
    edges = len(model.space.edges["cell"])
    row = Row(1_000_000, {"cell": [[1000] * len(model.space.operations)] * edges}, 0.0)
    table = LatencyTable({}, 1, {key_of(model.config): row})
    macs = derived_size(model.config, model.genotype)[1]
    front = Front.of([point(model, 0.5, macs)])
    assert front.timed(table).points[0].latency == pytest.approx(1e-3 + 1e-6 * edges)
    assert front.timed(replace(table, rows={})).points[0].latency is None
    assert not math.isnan(front.points[0].facts()["accuracy"]["val"])
