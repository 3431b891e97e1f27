"""Flips are chosen where mirror images keep their class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.joining import join
from snt_zoo.errors import ConfigError
from snt_zoo.search.budget import Budget
from snt_zoo.search.mirroring import CANDIDATES, Mirrored, augmentation_names, choose_augmentation, verdict
from snt_zoo.search.recipe import Recipe
from tests.conftest import TINY
from tests.search.runs import pretrain


class Stripes:
    """Dark to bright from one side to the other, or from above to below: 2 classes or 4, by labels."""

    def __init__(self, labels: torch.Tensor, turns: tuple[int, ...]) -> None:
        self.labels = labels
        self.turns = turns

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
        ramp = torch.linspace(20, 200, size).expand(size, size)
        noise = torch.arange(len(self))[indices] % 16  # images differ
        pictures = [ramp.rot90(self.turns[label]) for label in self.labels[indices].tolist()]
        found = torch.stack(pictures) + noise[:, None, None]
        return found[:, None].expand(-1, 3, -1, -1).to(torch.uint8).contiguous()


def stripes(name: str, turns: tuple[int, ...]) -> ImageDataset:
    def split(count: int) -> Split:
        labels = torch.arange(count) % len(turns)
        return Split(Stripes(labels, turns), labels)

    return ImageDataset(name, tuple("abcd"[: len(turns)]), split(200), split(60), split(60))


def test_it_is_chosen_for_each_dataset() -> None:
    # Left to right and right to left are each other's mirror images; up and down are their own.
    data = join([stripes("sides", (0, 2)), stripes("heights", (1, 3))])
    recipe = Recipe(batch_size=50, weight_lr=0.05, datasets_per_step=2, alpha_share=0.2, selection="alpha")
    made = pretrain(data, TINY["nas_bench_201"], budget=Budget(epochs=6), recipe=recipe)
    names, evidence = choose_augmentation(made.supernet, data.train, data.val)
    assert names == "safe flip"
    assert evidence[0]["mirrored"] < 0.2 < 0.8 < evidence[1]["mirrored"]
    assert evidence[0]["accuracy"] > 0.8


def test_a_resumed_run_keeps_the_choice(few_digits: ImageDataset, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "budget": Budget(epochs=2),
        "recipe": Recipe(batch_size=64, augmentation="auto"),
    }
    made = pretrain(few_digits, TINY["nas_bench_201"], folder=tmp_path, **options)
    assert made.recipe.augmentation in CANDIDATES
    assert set(made.search["augmentation"][0]) == {"augmentation", "accuracy", "mirrored"}
    again = pretrain(few_digits, TINY["nas_bench_201"], folder=tmp_path, resume=True, **options)
    assert again.recipe == made.recipe and again.search["augmentation"] == made.search["augmentation"]


@pytest.mark.parametrize(
    ("accuracy", "mirrored", "classes", "wanted"),
    [
        (0.9, 0.85, 10, "flip"),
        (0.9, 0.5, 10, "safe"),
        (0.15, 0.15, 10, "safe"),  # it has learned too little to be asked
        (0.95, 0.95, 2, "flip"),
        (0.6, 0.6, 2, "safe"),
    ],
)
def test_the_rule(accuracy: float, mirrored: float, classes: int, wanted: str) -> None:
    assert verdict(accuracy, mirrored, classes) == wanted


def test_mirror_images(few_digits: ImageDataset) -> None:
    mirrored = Split(Mirrored(few_digits.val), few_digits.val.labels)
    assert torch.equal(mirrored.tensor(8), few_digits.val.tensor(8).flip(3))


def test_one_preset_for_all_or_one_for_each() -> None:
    assert augmentation_names("flip", ()) == ["flip"]
    assert augmentation_names("flip", (3, 4)) == ["flip", "flip"]
    assert augmentation_names("flip safe", (3, 4)) == ["flip", "safe"]
    with pytest.raises(ConfigError, match="one for each of 2 datasets, got 3"):
        augmentation_names("flip safe flip", (3, 4))
