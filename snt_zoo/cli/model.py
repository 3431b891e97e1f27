"""`snt-zoo predict` and `snt-zoo evaluate`: what a saved network says of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.datasets import tell_passed_over
from snt_zoo.cli.images import listed
from snt_zoo.cli.output import fields, note, percent, prints, table
from snt_zoo.cli.parameters import FOLDER, bad_image_option, device_option
from snt_zoo.cli.progress import waiting
from snt_zoo.errors import DatasetError

if TYPE_CHECKING:
    from torch import Tensor

    from snt_zoo.data import Rendering
    from snt_zoo.networks.evaluate import Model
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

    IMAGE is a file; a folder, of which all images are taken at any depth; a pattern in quotes, where **
    stands for folders at any depth; or - for paths on the standard input, one a line.

    \b
    Example:
      snt-zoo predict runs/photos-1 new.jpg other.png --top 3
      snt-zoo predict runs/photos-1 inbox/
      snt-zoo predict runs/photos-1 'inbox/**/*.jpg'
      find inbox -name '*.jpg' | snt-zoo predict runs/photos-1 -
    """
    paths = listed(images)
    loaded = _load(model_dir, device)
    import torch

    from snt_zoo.networks.evaluate import predict

    answers: list[dict[str, Any]] = []
    rendering = loaded.trained_on.rendering
    for start in range(0, len(paths), _BATCH):
        decoded = [
            (image, pixels)
            for image in paths[start : start + _BATCH]
            if (pixels := _decode(image, loaded.model, rendering, skip=on_bad_image == "skip")) is not None
        ]
        if decoded:
            batches = [torch.cat(pixels) for pixels in zip(*(pixels for _, pixels in decoded), strict=True)]
            best = predict(loaded.model, *batches).topk(min(top, len(loaded.class_names)))
            for (name, _), scores, classes in zip(decoded, best.values, best.indices, strict=True):
                guesses = [
                    {"label": loaded.class_names[index], "score": score}
                    for score, index in zip(scores.tolist(), classes.tolist(), strict=True)
                ]
                answers.append({"image": name, "labels": guesses})
    return {"predictions": answers}


def _decode(image: str, model: Model, rendering: Rendering, *, skip: bool) -> list[Tensor] | None:
    """Pixels of an image in each size; None if it cannot be read and shall be left out."""
    from snt_zoo.networks.evaluate import decode_for

    try:
        return decode_for(model, image, rendering=rendering)
    except DatasetError as error:
        if not skip:
            raise
        note(f"left out: {error}")
        return None


def _show_evaluation(document: Mapping[str, Any]) -> None:
    left_out = document["left_out"]
    fields(
        {
            "accuracy": percent(document["accuracy"]),
            "images": f"{document['images']:,} ({document['split']})",
            "left out": f"{left_out:,} that the network was trained or chosen on" if left_out else None,
        }
    )


@click.command("evaluate")
@click.argument("model_dir", type=FOLDER)
@click.argument("dataset")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="The part of the dataset to measure on.  [default: test]",
)
@click.option(
    "--all", "everything", is_flag=True, help="Measure on all images, as of a folder that is all new."
)
@click.option(
    "--match",
    type=click.Choice(["name", "position"]),
    default="name",
    show_default=True,
    help="How the dataset's classes are matched with the network's.",
)
@bad_image_option
@device_option
@prints(_show_evaluation)
def evaluate_command(
    model_dir: Path,
    dataset: str,
    split: str | None,
    everything: bool,
    match: Any,
    on_bad_image: Any,
    device: str,
) -> dict[str, Any]:
    """Measure a saved network's accuracy on a dataset.

    Images that the network was trained or chosen on are left out and counted, unless --split train asks for
    them. A dataset without a test part is parted as `finetune` parts it; --all takes all of it instead.

    \b
    Example:
      snt-zoo evaluate runs/photos-1 photos/
      snt-zoo evaluate runs/photos-1 new/ --all
    """
    if everything and split:
        raise click.UsageError("give --split or --all, not both")
    loaded = _load(model_dir, device)
    with waiting(f"evaluating on {dataset}"):
        from snt_zoo.workflows.evaluate import evaluate

        part: Any = "all" if everything else split or "test"
        found = evaluate(loaded, dataset, part=part, match=match, on_bad_image=on_bad_image)
    tell_passed_over(found.passed_over)
    for warning in found.warnings:
        note(f"warning: {warning}")
    return {
        "accuracy": found.accuracy,
        "split": found.part,
        "images": found.images,
        "left_out": found.left_out,
        "model": model_dir,
        "dataset": dataset,
        **found.passed_over,
    }
