from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snt_zoo.errors import UnknownFormatError
from snt_zoo.workflows.compare import compare
from tests.encoders.making import random_sketch

A, B, C = (random_sketch(classes, seed=classes, name=f"of {classes}") for classes in (3, 4, 5))
SHELVES: Any = SimpleNamespace(
    registry=SimpleNamespace(resolve=lambda id: id * 2, sketches={"idid": [B, A], "xx": [C]}.__getitem__)
)


def test_it_is_symmetric_and_nothing_is_nearer_than_the_same() -> None:
    there, back = compare(SHELVES, A, B), compare(SHELVES, B, A)
    assert there.distance == pytest.approx(back.distance) and there.distance > 0.1
    assert compare(SHELVES, A, A).distance == pytest.approx(0, abs=1e-6)


def test_of_a_supernet_the_nearest_source_is_compared(tmp_path: Path) -> None:
    found = compare(SHELVES, "id", A)
    assert (found.target, found.source) == (A, A)
    assert compare(SHELVES, "id", "x").distance == pytest.approx(
        min(compare(SHELVES, side, C).distance for side in (A, B))
    )
    document = json.loads(json.dumps(compare(SHELVES, A, B).to_json()))
    assert document["a"] == {"name": "of 3", "classes": 3} and document["b"]["classes"] == 4
    assert sum(document["parts"].values()) == pytest.approx(document["distance"] ** 2)
    assert {match["target"] for match in document["class_matches"]} == set(A.class_names)
    with pytest.raises(UnknownFormatError):
        found.draw(tmp_path / "picture.docx")
