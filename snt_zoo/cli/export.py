"""`snt-zoo export`: a file that runs without snt-zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import fields, percent, prints
from snt_zoo.cli.parameters import FOLDER, bad_image_option
from snt_zoo.cli.progress import waiting


def _show(document: Mapping[str, Any]) -> None:
    accuracy = document["accuracy"]
    fields(
        {
            "file": document["out"],
            "size": f"{document['bytes'] / 1e6:.2f} MB",
            "checked": f"{document['images']} images: probabilities differ by at most "
            f"{document['largest_difference']:.1e}, likeliest class the same for "
            f"{percent(document['same_class'])}",
            "accuracy": f"float32 {percent(accuracy['float32'])}, int8 {percent(accuracy['int8'])} (test)"
            if accuracy
            else None,
        }
    )


@click.command("export")
@click.argument("model_dir", type=FOLDER)
@click.option(
    "--format",
    type=click.Choice(["onnx", "torch", "executorch"]),
    default="onnx",
    show_default=True,
    help="An ONNX file, a program of torch.export, or one of ExecuTorch for phones.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file.  [default: model.onnx, model-int8.onnx, model.pt2 or model.pte in MODEL_DIR]",
)
@click.option(
    "--data",
    "dataset",
    metavar="DATASET",
    help="What the model was trained on: its test images are asked about.  [default: two photographs]",
)
@click.option("--opset", type=click.IntRange(18, 23), default=18, show_default=True, help="Of ONNX.")
@click.option("--int8", is_flag=True, help="Small integers, measured on training images; needs --data.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Points of test accuracy that int8 may lose.",
)
@bad_image_option
@prints(_show)
def export_command(
    model_dir: Path, dataset: str | None, on_bad_image: str, max_drop: float, **options: Any
) -> dict[str, Any]:
    """Write a saved network as one file that runs without snt-zoo.

    It takes images as they are decoded, uint8, of any size, and gives probabilities: resize and
    normalisation are inside. Class names, licences, accuracy and where it came from are its metadata. It is
    asked about images, and is kept only if it answers as the network does. A program of ExecuTorch takes one
    image that is resized already.

    \b
    Example:
      snt-zoo export runs/photos-1
      snt-zoo export runs/photos-1 --data photos/ --int8
      snt-zoo export runs/photos-1 --format torch --out photos.pt2
      snt-zoo export runs/photos-1 --format executorch
    """
    data = None if dataset is None else read_dataset(dataset, on_bad_image)
    with waiting(f"loading {model_dir}") as tell:
        from snt_zoo.workflows.export import export_model

        made = export_model(model_dir, data=data, max_drop=max_drop / 100, tell=tell, **options)
    return {
        "out": made.path,
        "format": options["format"],
        "bytes": made.size,
        "images": made.agreement.images,
        "largest_difference": made.agreement.largest,
        "same_class": made.agreement.top,
        "accuracy": dict(made.accuracy),
    }
