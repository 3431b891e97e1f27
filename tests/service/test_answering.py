from __future__ import annotations

import json
import math

import pytest

from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.target import Target
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.retrieval import BY_ACCURACY, DEFAULT_DISTANCE, retrieve
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.service.answering import ask, rendered
from snt_zoo.zoo import Zoo


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    zoo = Zoo.open(tmp_path_factory.mktemp("starter"), starter=False)
    zoo.registry.seed(starter_bundles()[:8])
    return zoo


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("by", ["distance", BY_ACCURACY])
def test_the_answer_is_that_of_a_query_that_measures_all(starter: Zoo, k: int, by: str) -> None:
    for record in starter.list():
        for sketch in starter.registry.sketches(record.id):
            measure = get_distance(DEFAULT_DISTANCE)
            whole = retrieve(starter.registry, Target(sketch), k=k, by=by, distance=measure).to_json()
            found = ask(starter, dump_sketches([sketch]), Filter(), k=k, by=by)
            assert {**found, "seconds": None} == {**whole, "seconds": None}


def test_a_number_that_is_not_finite_becomes_null() -> None:
    document = {"distance": math.inf, "pairs": [{"far": math.nan, "near": 0.5}], "name": "ä"}
    assert json.loads(rendered(document)) == {
        "distance": None,
        "pairs": [{"far": None, "near": 0.5}],
        "name": "ä",
    }
    assert rendered({"a": [1, 0.5]}) == b'{"a":[1,0.5]}'
