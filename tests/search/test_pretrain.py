"""What is said of a supernet that has learned nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from tests.search.runs import CONFIG, pretrain


@pytest.mark.parametrize(("rate", "epochs", "warned"), [(1e-7, 1, True), (0.1, 3, False)])
def test_one_that_only_guesses_comes_with_a_warning(
    digits: ImageDataset, rate: float, epochs: int, warned: bool
) -> None:
    recipe = replace(Recipe(), weight_lr=rate)
    made = pretrain(digits, CONFIG, budget=Budget(epochs=epochs), recipe=recipe, device="cpu")
    found = [text for text in made.warnings if "no better than guessing" in text]
    assert bool(found) == warned, made.val_accuracy
    assert all(f"{made.val_accuracy:.1%}" in text and "lower rate" in text for text in found)
