from __future__ import annotations

import json
from typing import get_args

from snt_zoo.data.passed_over import MEANING, Reason, account, lines


def test_every_reason_is_explained() -> None:
    assert set(MEANING) == set(get_args(Reason))


def test_numbers_and_a_few_examples_are_told() -> None:
    masks = tuple(f"cat/{i}_mask.png" for i in range(1200))
    told = account({"hidden": (".DS_Store",), "mask": masks}, ("cat/l.png",))
    assert told == {
        "passed_over": {
            "count": 1201,
            "reasons": {
                "mask": {"count": 1200, "examples": list(masks[:3])},
                "hidden": {"count": 1, "examples": [".DS_Store"]},
            },
        },
        "links_out": {"count": 1, "examples": ["cat/l.png"]},
    }
    passed, links = lines(told)
    assert passed.startswith(
        "passed over 1,201 files and folders; masks or thumbnails of other images: 1,200 (cat/0"
    )
    assert passed.endswith(", …); hidden: 1 (.DS_Store)")
    assert links == "warning: links lead out of the dataset, and were followed: 1 (cat/l.png)"


def test_nothing_is_told_of_nothing() -> None:
    told = account({}, ())
    assert told == {
        "passed_over": {"count": 0, "reasons": {}},
        "links_out": {"count": 0, "examples": []},
    }
    assert lines(told) == []


def test_examples_can_be_stored_and_shown() -> None:
    told = account({"no_image": ("a\nb", "\udcb9\u202e.txt")}, ())
    assert told["passed_over"]["reasons"]["no_image"]["examples"] == ["a\\nb", "\\xb9\\u202e.txt"]
    json.dumps(told, ensure_ascii=False).encode()
