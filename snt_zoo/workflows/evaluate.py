"""How well a saved network does on labelled images, none of which it was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from snt_zoo.data import Split
from snt_zoo.data.class_names import one_line
from snt_zoo.data.joining import JoinedStore
from snt_zoo.data.opening import read_raw
from snt_zoo.data.passed_over import account
from snt_zoo.data.reader import SPLIT_NAMES, OnBadImage, RawDataset, ReadOptions
from snt_zoo.data.splits import check_split, complete
from snt_zoo.errors import EmptySplitError, LabelError, TooFewClassesError, TooFewImagesError
from snt_zoo.networks.evaluate import evaluate as accuracy_of
from snt_zoo.networks.model_folder import LoadedModel
from snt_zoo.networks.trained_on import SeenImages, TrainedOn

Part = Literal["train", "val", "test", "all"]
Match = Literal["name", "position"]

_NAMED = 5  # classes that a message names


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Args:
        accuracy: share of the images, from 0 to 1, that were named rightly.
        part: of the dataset.
        images: that were measured.
        left_out: images of the part that were not, as the network was trained or chosen on them.
        passed_over: what was passed over in the dataset; see `ImageDataset.account`.
        warnings: what the user should know about it.
    """

    accuracy: float
    part: Part
    images: int
    left_out: int = 0
    passed_over: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def evaluate(
    loaded: LoadedModel,
    ref: str | os.PathLike[str],
    *,
    part: Part = "test",
    match: Match = "name",
    on_bad_image: OnBadImage = "refuse",
) -> Evaluation:
    """Measure a network on a part of a dataset, without the images that it has seen.

    Left out of `test` and of `all` are the images that the network was trained or chosen on, of `val` those
    that it was trained on. Of `train` none is.

    Args:
        loaded: the network, on the device where it shall run.
        ref: the dataset, as for `open_dataset`; one without a training part is enough.
        part: of it. A part that it lacks is made as for a training; `all` are all images that it has.
        match: `name`: the dataset's classes are those of the network with the same name, and may be fewer;
            `position`: they are in the same order, whatever their names.
        on_bad_image: as for `open_dataset`.

    Raises:
        LabelError: the classes do not match.
        EmptySplitError: there is no such part, or it cannot be told which of its images the network has seen.
        TooFewImagesError: the network has seen all of them.
        DatasetError: the dataset cannot be read.
    """
    seen = loaded.trained_on.seen
    raw = read_raw(ref, ReadOptions(on_bad_image, partial=True), loaded.trained_on.rendering)
    split, made = _part(raw, part, loaded.trained_on)
    names = tuple(map(one_line, raw.class_names))  # as the network's were read
    labelled = relabelled(split, names, loaded.class_names, match=match)
    unseen = torch.ones(len(split), dtype=torch.bool)
    if seen is not None and part != "train":
        unseen = ~seen.among(split, val=part != "val")
    if not unseen.any():
        raise TooFewImagesError(
            f"the network was trained or chosen on all {len(split):,} images ({part} of {ref}): give it "
            "images that it has not seen"
        )
    measured = labelled if unseen.all() else labelled.subset(unseen.nonzero().flatten())
    return Evaluation(
        accuracy=accuracy_of(loaded.model, measured),
        part=part,
        images=len(measured),
        left_out=len(split) - len(measured),
        passed_over=account(raw.passed_over, raw.links_out),
        warnings=tuple(_warnings(raw, part, made, seen, split, loaded.class_names)),
    )


def _part(raw: RawDataset, part: Part, known: TrainedOn) -> tuple[Split, bool]:
    """The images of a part, labelled as the dataset does, and whether the part had to be made."""
    given = {name: split for name, split in raw.splits.items() if len(split)}
    for name, split in given.items():
        check_split(raw, name, split)
    if part == "all" and given:
        return Split(JoinedStore(tuple(given.values())), torch.cat([s.labels for s in given.values()])), False
    # The training part that is given loses to the parts that are made.
    if part in given and (part != "train" or len(given) == len(SPLIT_NAMES)):
        return given[part], False
    try:
        data = complete(raw, seed=0)
    except (EmptySplitError, TooFewClassesError, TooFewImagesError) as error:
        raise type(error)(f"{error}; or measure all its images as they are with --all") from error
    if part != "train" and known.seen is None and known.fingerprint != data.fingerprint:
        raise EmptySplitError(
            f"{raw.name} has no {part} part, and the network's folder does not tell which of the images it "
            "was trained on (it was pulled, or an earlier snt-zoo saved it): give a part of images that it "
            "has not seen; or, if it has seen none of them, measure all with --all"
        )
    found: Split = getattr(data, part)
    return found, part in data.made


def _warnings(
    raw: RawDataset, part: Part, made: bool, seen: SeenImages | None, split: Split, wanted: Sequence[str]
) -> Iterator[str]:
    classes = len(set(split.labels.tolist()))
    if classes < len(wanted):
        yield f"the images are of {classes} of the network's {len(wanted)} classes"
    if part == "all" and seen is None:
        yield "the network's folder does not tell which images it was trained on: see that these are new"
    if made and seen is not None and not seen.among(raw.splits["train"]).any():
        yield (
            f"{raw.name} has no {part} part, so a few of its {len(raw.splits['train']):,} images were taken; "
            "the network has seen none of them: --all measures them all"
        )


def relabelled(split: Split, names: Sequence[str], wanted: Sequence[str], *, match: Match = "name") -> Split:
    """A split with labels that index the wanted class names.

    Args:
        split: labelled by `names`.
        names: the dataset's classes.
        wanted: the network's classes.
        match: see `evaluate`.

    Raises:
        LabelError: a class of the dataset is none of the network's; or, by position, there are not equally
            many.
    """
    if match == "position":
        if len(names) != len(wanted):
            raise LabelError(
                f"the network has {len(wanted)} classes and the dataset {len(names)}: classes can be matched "
                "by position only if there are equally many"
            )
        return split
    if tuple(names) == tuple(wanted):
        return split
    used = [names[i] for i in sorted(set(split.labels.tolist()))]
    strange = [name for name in used if name not in wanted]
    if strange or len(set(names)) < len(names) or len(set(wanted)) < len(wanted):
        which = f"it does not know {_listed(strange)}" if strange else "some have the same name"
        raise LabelError(
            f"the network has {len(wanted)} classes, {_listed(wanted)}, and the dataset {len(names)}; "
            f"{which}: rename the dataset's; or, if they are in the same order, add --match position"
        )
    place = torch.tensor([wanted.index(name) if name in wanted else -1 for name in names])
    return Split(split.images, place[split.labels])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
