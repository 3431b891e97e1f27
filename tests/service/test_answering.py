from __future__ import annotations

import json
import math

from snt_zoo.service.answering import rendered


def test_a_number_that_is_not_finite_becomes_null() -> None:
    document = {"distance": math.inf, "pairs": [{"far": math.nan, "near": 0.5}], "name": "ä"}
    assert json.loads(rendered(document)) == {
        "distance": None,
        "pairs": [{"far": None, "near": 0.5}],
        "name": "ä",
    }
    assert rendered({"a": [1, 0.5]}) == b'{"a":[1,0.5]}'
