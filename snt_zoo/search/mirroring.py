"""Whether mirror images keep their class: decided by evidence, dataset by dataset.

Flips are the strongest of the cheap augmentations for photographs, and wrong for letters, arrows and hands.
A short trial, trained without flips, is shown the validation images as they are and mirrored: where it knows
the mirrored ones nearly as well, a mirror image is what the image was. (Comparing short runs with and without
flips would answer another question: what a short run gains, which favours weak augmentation.) The rule is
ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.errors import ConfigError
from snt_zoo.networks.evaluate import evaluate_heads
from snt_zoo.networks.heads import split_by_head
from snt_zoo.networks.supernet import Supernet

AUTO = "auto"
"""The name of an augmentation that is chosen."""
CANDIDATES = ("safe", "flip")

TRIAL_SHARE = 0.1
"""Of the budget, for the trial."""
KEPT = 0.9
"""Mirror images keep their class if so much of the accuracy is left."""
LEARNED = 3.0
"""The trial must be so many times better than guessing to be asked."""


@dataclass(frozen=True, eq=False)
class Mirrored:
    """A store of mirror images.

    Args:
        split: of the images as they are.
    """

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def read(self, indices: Tensor, size: int) -> Tensor:
        """See `ImageStore.read`."""
        return self.split.read(indices, size).flip(-1)


def choose_augmentation(supernet: Supernet, train: Split, val: Split) -> tuple[str, list[dict[str, Any]]]:
    """`flip` or `safe` for each dataset that a trial was trained on.

    Args:
        supernet: after the trial, which saw no mirror image.
        train: on which batch norms are measured.
        val: by which it is decided.

    Returns:
        The names, one for each head with spaces between; and the evidence for each.
    """
    heads = supernet.config.heads
    sizes = heads or (supernet.config.num_classes,)
    trains, splits = split_by_head(train, heads), split_by_head(val, heads)
    mirrored = [Split(Mirrored(split), split.labels) for split in splits]
    plain = evaluate_heads(supernet, splits, trains)
    turned = evaluate_heads(supernet, mirrored, trains)
    evidence = [
        {"augmentation": verdict(before, after, size), "accuracy": before, "mirrored": after}
        for before, after, size in zip(plain, turned, sizes, strict=True)
    ]
    return " ".join(str(row["augmentation"]) for row in evidence), evidence


def verdict(accuracy: float, mirrored: float, classes: int) -> str:
    """The augmentation that the two accuracies of a trial speak for."""
    learned = accuracy >= min(LEARNED / classes, 0.8)
    return "flip" if learned and mirrored >= KEPT * accuracy else "safe"


def augmentation_names(augmentation: str, heads: Sequence[int]) -> list[str]:
    """The preset of each dataset, where a recipe names one for all or one for each.

    Raises:
        ConfigError: it names another number of them.
    """
    names, datasets = augmentation.split(), max(len(heads), 1)
    if len(names) not in (1, datasets):
        raise ConfigError(
            f"the recipe's augmentation must name one preset, or one for each of {datasets} datasets, got "
            f"{len(names)}"
        )
    return names * datasets if len(names) == 1 else names
