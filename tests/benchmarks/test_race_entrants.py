from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch

from benchmarks.feedback import split_at
from benchmarks.learned_world import World
from benchmarks.race_entrants import winner

HEADS = torch.tensor([0.70, 0.68, 0.50, 0.69])


def test_of_the_good_heads_the_broadest_wins_and_of_equals_the_better() -> None:
    breadth = [1, 9, 30, 9]
    assert winner(HEADS, [0, 1, 2, 3], breadth, images=100) == 3
    assert winner(HEADS, [0, 1, 2], breadth, images=100) == 1
    assert winner(HEADS, [0, 1, 2, 3], breadth, images=10_000) == 0  # the error is small: none is as good
    assert winner(HEADS, [2], breadth, images=100) == 2


def test_what_is_asked_is_of_other_parents_than_what_is_known() -> None:
    world = cast(World, cast(Any, SimpleNamespace(parent=["a", "a", "b", "b", "c"])))
    assert split_at(world, [2, 3, 0, 1, 4], 3) == ([2, 3, 0], [4])
    assert split_at(world, [2, 3, 0, 1, 4], 0) == ([], [2, 3, 0, 1, 4])
