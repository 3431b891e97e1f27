from __future__ import annotations

from zoo.parents import may_ship, parents


def test_relatives_share_a_parent() -> None:
    found = parents(
        [
            "trash6",
            "trashnet",
            "groceries18",
            "groceries25",
            "font_digits",
            "mnist10k",
            "font_thai",
            "animals20",
            "objects25",
            "my own",
        ]
    )
    for one, other in (
        ("trash6", "trashnet"),
        ("groceries18", "groceries25"),
        ("font_digits", "mnist10k"),
        ("animals20", "objects25"),
    ):
        assert found[one] == found[other]
    assert len(set(found.values())) == 6 and found["my own"] == "my own"


def test_photographs_for_benchmarks_train_nothing_that_ships() -> None:
    assert may_ship("font_thai") and may_ship("groceries18")
    assert not any(map(may_ship, ("animals20", "trash6", "groceries25", "natural8", "somebody's")))
