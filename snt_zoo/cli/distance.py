"""`snt-zoo distance`: how far two datasets are from each other, and which class lies near which."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import Names, prints, say, table
from snt_zoo.cli.parameters import Home, bad_image_option, home_option
from snt_zoo.cli.progress import waiting

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset
    from snt_zoo.zoo import Zoo

_PAIRS = 20  # nearest pairs of classes that the table shows


def show_distance(document: Mapping[str, Any]) -> None:
    """Print the answer for people."""
    a, b = (f"{side['name']} ({side['classes']:,} classes)" for side in (document["a"], document["b"]))
    parts = ", ".join(f"{name} {value:.4f}" for name, value in document["parts"].items())
    say(f"From {a} to {b}: distance {document['distance']:.4f}.")
    say(f"Level: {document['level']}. Squared parts: {parts}.")
    click.echo()
    rows = [
        (
            Names([pair["target"]]),
            Names([pair["source_class"]]),
            f"{pair['distance']:.3f}",
            f"{100 * pair['mass']:.0f} %",
        )
        for pair in document["class_matches"]
    ]
    columns = ("class", False), ("nearest class", False), ("distance", True), ("carried there", True)
    table(columns, rows, keep=2, most=_PAIRS)
    if document["plot"] is not None:
        say(f"picture: {document['plot']}")


@click.command("distance")
@click.argument("a")
@click.argument("b")
@click.option(
    "--level",
    type=click.Choice(["class", "samples"]),
    default="class",
    show_default=True,
    help="Between Gaussians of the classes, or between sampled images.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "exact", "entropic"]),
    help="Between samples: exact, entropic, or the first that ends in time.  [default: auto]",
)
@click.option("--samples", type=click.IntRange(2), help="Between samples: most of each side.  [default: 256]")
@click.option("--feature-weight", type=click.FloatRange(0), help="Between samples.  [default: 1]")
@click.option("--label-weight", type=click.FloatRange(0), help="Between samples.  [default: 1]")
@click.option("--epsilon", type=click.FloatRange(0, min_open=True), help="Entropy.  [default: 0.2]")
@click.option("--time-limit", type=click.FloatRange(0), help="Between samples: seconds.")
@click.option("--device", help="Where costs are computed.  [default: cpu]")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Draw the coupling to this file: png, svg or pdf.",
)
@click.option("--backbone", help="Makes the sketches.  [default: the starter zoo's]")
@bad_image_option
@home_option
@prints(show_distance)
def distance_command(
    a: str,
    b: str,
    level: Literal["class", "samples"],
    method: str | None,
    plot: Path | None,
    on_bad_image: str,
    home: Home,
    **options: Any,
) -> dict[str, Any]:
    """Compare two datasets by Optimal Transport.

    A and B are datasets, or ids of supernets in the registry: then the data they were trained on. The
    distance is symmetric. Of each class of A the class of B is told to which most of it is carried.

    \b
    Example:
      snt-zoo distance photos/ sklearn:digits
      snt-zoo distance photos/ nb201-icon-objects --level samples --plot a.png
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    chosen |= {} if method is None else {"method": method}
    between_samples = set(chosen) - {"device", "backbone"}
    if level == "class" and between_samples:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(between_samples))
        raise click.UsageError(f"{named} is for --level samples: add that, or leave it out")
    start = time.perf_counter()
    with waiting("opening the registry"):
        from snt_zoo import Zoo

        zoo = Zoo.open(home)
    sides = [_side(zoo, ref, on_bad_image) for ref in (a, b)]
    with waiting("comparing"):
        found = zoo.distance(sides[0], sides[1], level=level, **chosen)
    if plot is not None:
        found.draw(plot)
    return found.to_json() | {"plot": plot, "seconds": time.perf_counter() - start}


def _side(zoo: Zoo, ref: str, on_bad_image: str) -> ImageDataset | str:
    """A dataset, or else the id of a supernet."""
    from snt_zoo.errors import DatasetNotFoundError, NotInRegistryError

    try:
        return read_dataset(ref, on_bad_image)
    except DatasetNotFoundError as missing:
        try:
            return zoo.registry.resolve(ref)
        except NotInRegistryError as error:
            raise NotInRegistryError(f"{ref} is no dataset ({missing}), and {error}") from error
