"""Checks what a reader found and makes the splits that the source lacks.

A made split is stratified: each class gives the same part, keeps at least one image for training,
and where it has enough gives at least one to validation and to test. What is drawn depends on the
seed and on the content of the images, so that images which are added, moved or renamed leave the others
where they are, but for one of a class now and then as the parts grow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snt_zoo.data.class_names import one_line
from snt_zoo.data.dataset import ImageDataset, Split
from snt_zoo.data.reader import SPLIT_NAMES, RawDataset, SplitName
from snt_zoo.errors import EmptySplitError, LabelError, TooFewClassesError, TooFewImagesError

# Of what there is, for each of validation and test. MedMNIST v2 (Yang et al. 2023) leaves 10 and
# 20 %; small user datasets need as many images to choose on as to report on.
HELD_OUT = 0.15

# Classes that a message names before it says how many more there are.
_NAMED = 5


def complete(raw: RawDataset, *, seed: int) -> ImageDataset:
    """Checks a dataset and adds the splits that it lacks, taken from its training images.

    Raises:
        TooFewClassesError: There are fewer than two classes.
        EmptySplitError: A split is there, but holds nothing.
        LabelError: Labels do not fit the images or the classes.
        TooFewImagesError: A class has fewer than two images, or none in ``train``.
    """
    splits = dict(raw.splits)
    _check(raw)
    missing: list[SplitName] = [name for name in SPLIT_NAMES if name not in splits]
    if missing:
        train = splits["train"]
        order = train.by_content(torch.arange(len(train)), seed=seed)
        parts = stratified_split(train.labels, (HELD_OUT,) * len(missing), order=order)
        splits["train"] = train.subset(parts[0])
        for name, part in zip(missing, parts[1:], strict=True):
            if not len(part):
                raise TooFewImagesError(
                    f"{raw.name} has no {name} split, and too few training images to make one: "
                    "add images, or give the split"
                )
            splits[name] = train.subset(part)
    return ImageDataset(
        one_line(raw.name),
        tuple(map(one_line, raw.class_names)),
        splits["train"],
        splits["val"],
        splits["test"],
        raw.passed_over,
        raw.links_out,
        made=tuple(missing),
        rendering=raw.rendering,
    )


def stratified_split(
    labels: Tensor,
    fractions: Sequence[float],
    *,
    generator: torch.Generator | None = None,
    order: Tensor | None = None,
) -> list[Tensor]:
    """Draws parts of the same make-up by class.

    Args:
        labels: int64 ``(n,)``.
        fractions: The part of each class that goes to each held-out part; below 1 in sum.
        generator: On the CPU; draws who goes where, if there is no ``order``.
        order: A permutation of ``0 … n − 1``, int64: of each class the first stay in the rest, and the last
            go to the last part.

    Returns:
        The rest, then each held-out part: sorted indices, int64, which together are
        ``0 … n − 1``. A class of at least one image more than there are parts is in each; a smaller
        one is in the rest, and then in the parts that are smallest so far, the last one first.
    """
    parts: list[list[Tensor]] = [[] for _ in range(len(fractions) + 1)]
    classes = sorted(set(labels.tolist()))
    if order is None:
        by_class = [torch.nonzero(labels == label).flatten() for label in classes]
        drawn = [members[torch.randperm(len(members), generator=generator)] for members in by_class]
    else:
        drawn = [order[labels[order] == label] for label in classes]
    taken = [0] * len(fractions)
    # Large classes first: the spare images of small ones then even the parts out.
    for members in sorted(drawn, key=len, reverse=True):
        counts = _held_out_counts(len(members), fractions, taken)
        taken = [total + count for total, count in zip(taken, counts, strict=True)]
        sections = torch.split(members, [len(members) - sum(counts), *counts])
        for part, section in zip(parts, sections, strict=True):
            part.append(section)
    empty = torch.empty(0, dtype=torch.int64)
    return [torch.cat([empty, *part]).sort().values for part in parts]


def _held_out_counts(count: int, fractions: Sequence[float], taken: Sequence[int]) -> list[int]:
    if count > len(fractions):
        counts = [max(1, round(fraction * count)) for fraction in fractions]
        while sum(counts) >= count:  # one image must stay for training
            counts[counts.index(max(counts))] -= 1
        return counts
    smallest_first = sorted(range(len(fractions)), key=lambda part: (taken[part], -part))
    chosen = smallest_first[: count - 1]
    return [int(part in chosen) for part in range(len(fractions))]


def _check(raw: RawDataset) -> None:
    classes = len(raw.class_names)
    if "train" not in raw.splits:
        raise EmptySplitError(f"{raw.name} has no training split, only {', '.join(raw.splits)}: add train")
    for name, split in raw.splits.items():
        if not len(split):
            remedy = "fill it" if name == "train" else "fill it, or remove it so that one is made"
            raise EmptySplitError(f"{raw.name} has a {name} split that holds no image: {remedy}")
    if classes < 2:
        found = f"only {raw.class_names[0]!r}" if classes else "none"
        raise TooFewClassesError(f"{raw.name} needs at least two classes to tell apart, and has {found}")
    for name, split in raw.splits.items():
        check_split(raw, name, split)
    counts = {name: torch.bincount(split.labels, minlength=classes) for name, split in raw.splits.items()}
    total = torch.stack(list(counts.values())).sum(0)
    if short := _classes_where(raw, total < 2, total):
        raise TooFewImagesError(
            f"{raw.name} needs at least two images of each class, one to train and one to test on; "
            f"it has {short}: add images or remove the class"
        )
    if absent := _classes_where(raw, counts["train"] == 0, total):
        raise TooFewImagesError(
            f"{raw.name} has classes with images, but none of them in train: in all {absent}; "
            "move some to train, or remove the class"
        )


def check_split(raw: RawDataset, name: SplitName, split: Split) -> None:
    """Raise `LabelError` if the labels of a split do not fit its images or the classes."""
    if len(split.images) != len(split):
        raise LabelError(
            f"{raw.name} has {len(split.images)} images but {len(split)} labels in {name}: give "
            "one label for each image"
        )
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= len(raw.class_names):
        raise LabelError(
            f"{raw.name} has labels from {low} to {high} in {name}, but {len(raw.class_names)} "
            f"classes: labels must go from 0 to {len(raw.class_names) - 1}"
        )


def _classes_where(raw: RawDataset, mask: Tensor, counts: Tensor) -> str:
    found = [f"{counts[i]} of {raw.class_names[i]!r}" for i in torch.nonzero(mask).flatten()]
    more = f" and {len(found) - _NAMED} classes more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
