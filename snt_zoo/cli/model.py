"""`snt-zoo predict` and `snt-zoo evaluate`: what a saved network says of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import fields, note, percent, prints, table
from snt_zoo.cli.parameters import FOLDER, bad_image_option, device_option
from snt_zoo.cli.progress import waiting
from snt_zoo.errors import DatasetError, LabelError

if TYPE_CHECKING:
    from torch import Tensor

    from snt_zoo.data import Split
    from snt_zoo.networks.model_folder import LoadedModel

_BATCH = 64


def _load(folder: Path, device: str) -> LoadedModel:
    with waiting(f"loading {folder}"):
        from snt_zoo import load_model
        from snt_zoo.networks.device import resolve_device

        loaded = load_model(folder)
        loaded.model.placed(resolve_device(device))
    return loaded


def _show_predictions(document: Mapping[str, Any]) -> None:
    rows = [
        (answer["image"], guess["label"], percent(guess["score"]))
        for answer in document["predictions"]
        for guess in answer["labels"]
    ]
    table([("image", False), ("label", False), ("score", True)], rows, keep=3)


@click.command("predict")
@click.argument("model_dir", type=FOLDER)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--top", default=3, show_default=True, type=click.IntRange(1), help="Classes.")
@bad_image_option
@device_option
@prints(_show_predictions)
def predict_command(
    model_dir: Path, images: tuple[str, ...], top: int, on_bad_image: str, device: str
) -> dict[str, Any]:
    """Name the likeliest classes of images, with scores from 0 to 1.

    \b
    Example:
      snt-zoo predict runs/photos-1 new.jpg other.png --top 3
    """
    loaded = _load(model_dir, device)
    import torch

    from snt_zoo.networks.evaluate import input_sizes, predict

    sizes = input_sizes(loaded.model)
    answers: list[dict[str, Any]] = []
    for start in range(0, len(images), _BATCH):
        decoded = [
            (image, pixels)
            for image in images[start : start + _BATCH]
            if (pixels := _decode(image, sizes, skip=on_bad_image == "skip")) is not None
        ]
        if decoded:
            batches = [torch.stack(pixels) for pixels in zip(*(pixels for _, pixels in decoded), strict=True)]
            best = predict(loaded.model, *batches).topk(min(top, len(loaded.class_names)))
            for (name, _), scores, classes in zip(decoded, best.values, best.indices, strict=True):
                guesses = [
                    {"label": loaded.class_names[index], "score": score}
                    for score, index in zip(scores.tolist(), classes.tolist(), strict=True)
                ]
                answers.append({"image": name, "labels": guesses})
    return {"predictions": answers}


def _decode(image: str, sizes: Sequence[int], *, skip: bool) -> list[Tensor] | None:
    """Pixels of an image in each size; None if it cannot be read and shall be left out."""
    from snt_zoo.data import decode_image

    try:
        return [decode_image(image, size=size) for size in sizes]
    except DatasetError as error:
        if not skip:
            raise
        note(f"left out: {error}")
        return None


def _show_evaluation(document: Mapping[str, Any]) -> None:
    fields(
        {
            "accuracy": percent(document["accuracy"]),
            "images": f"{document['images']:,} ({document['split']})",
        }
    )


@click.command("evaluate")
@click.argument("model_dir", type=FOLDER)
@click.argument("dataset")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="The part of the dataset to measure on.",
)
@bad_image_option
@device_option
@prints(_show_evaluation)
def evaluate_command(
    model_dir: Path, dataset: str, split: str, on_bad_image: str, device: str
) -> dict[str, Any]:
    """Measure a saved network's accuracy on a dataset.

    Classes are matched by their names. A dataset without splits of its own is parted as `finetune`
    parts it, so its test part holds no image that the network was trained on.

    \b
    Example:
      snt-zoo evaluate runs/photos-1 photos/ --split test
    """
    loaded = _load(model_dir, device)
    data = read_dataset(dataset, on_bad_image)
    part = relabelled(getattr(data, split), data.class_names, loaded.class_names)
    from snt_zoo.networks.evaluate import evaluate

    with waiting("evaluating"):
        accuracy = evaluate(loaded.model, part)
    return {
        "accuracy": accuracy,
        "split": split,
        "images": len(part),
        "model": model_dir,
        "dataset": dataset,
        **data.account(),
    }


def relabelled(split: Split, names: Sequence[str], wanted: Sequence[str]) -> Split:
    """A split with labels that index the wanted class names.

    Args:
        split: labelled by `names`.
        names: the dataset's classes.
        wanted: the model's classes.

    Raises:
        LabelError: the two have not equally many classes.
    """
    if len(names) != len(wanted):
        raise LabelError(
            f"the model has {len(wanted)} classes and the dataset {len(names)}: evaluate it on data "
            "with the classes that it was trained on"
        )
    if tuple(names) == tuple(wanted):
        return split
    if set(names) != set(wanted) or len(set(names)) != len(names):
        strange = next((name for name in names if name not in wanted), names[0])
        note(f"class names differ (the model has no {strange!r}): classes are matched by position")
        return split
    import torch

    from snt_zoo.data import Split

    place = torch.tensor([wanted.index(name) for name in names])
    return Split(split.images, place[split.labels])
