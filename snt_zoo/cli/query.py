"""`snt-zoo query`: which supernets were trained on data like yours."""

from __future__ import annotations

import importlib
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.datasets import read_dataset
from snt_zoo.cli.output import Names, fields, percent, printable, prints, say, table
from snt_zoo.cli.parameters import (
    Home,
    bad_image_option,
    constraint_options,
    exclude_option,
    home_option,
    hub_option,
    latency_options,
    licence_option,
)
from snt_zoo.cli.progress import stages
from snt_zoo.formats.counts import format_size

_PAIRS = 3  # nearest pairs of classes that are shown


def show_answer(document: Mapping[str, Any]) -> None:
    """Print the answer of a query for people: the matches, or what to do where none is close."""
    given = click.get_current_context().params
    far = document["close"] is False
    if far:
        _show_instead(document, _next_command(given))
    if given["every"] or not far:
        show_matches(document)
    else:
        say(f"Far matches that are left out: {len(document['matches'])}; --all lists them.")
    say(f"The query took {sum(document['seconds'].values()):.1f} s.")


def _next_command(given: Mapping[str, Any]) -> str:
    home = given["home"]
    words = ["snt-zoo", *(["--zoo", home] if isinstance(home, str) else []), "finetune", given["dataset"]]
    if given["on_bad_image"] != "refuse":
        words += ["--on-bad-image", given["on_bad_image"]]
    if isinstance(home, Path):
        words += ["--home", str(home)]
    return printable(shlex.join(words))


def _show_instead(document: Mapping[str, Any], command: str) -> None:
    """Print that nothing is close, what else there is with what was measured of it, and the next command."""
    probe, heads = document["probe"], [m for m in document["matches"] if m["head_accuracy"] is not None]
    best = max(heads, key=lambda match: match["head_accuracy"])
    name = f"{best['id']} with a new last layer"
    if len(best["sources"]) > 1:
        name += f", trained on {len(best['sources'])} datasets"
    say("No supernet is close to your data.")
    say("Accuracy on your validation images, of what there is instead:")
    classifier = f"a linear classifier on the ImageNet backbone {probe['backbone']}"
    for accuracy, what in ((probe["val_accuracy"], classifier), (best["head_accuracy"], name)):
        fields({percent(accuracy): what}, indent=2)
    say(f"Both were fitted to {probe['images']:,} of your images. What to run next:")
    click.echo(f"  {command}")
    say("It trains the best supernet, and hands back that, the classifier, or both together: what is best.")


def show_matches(document: Mapping[str, Any]) -> None:
    """Print the matches of a query for people, however far they are."""
    numbers = "distance", "accuracy", "gain", "params", "MACs"
    probe = document["probe"]
    under = "expected", "trained on", "on the Hub", "yours ~ theirs", "licences"
    columns = [("rank", True), ("id", False), *((title, True) for title in numbers), ("space", False)]
    rows = [
        (
            str(rank),
            match["id"],
            f"{match['distance']:.3f}",
            "diverged" if match.get("diverged") else percent(match["head_accuracy"]),
            _gain(match, probe),
            format_size(match["params"]),
            format_size(match["macs"]),
            match["space"],
            _expected(match),
            Names(match["sources"], "sources"),
            match.get("repo", ""),
            _pairs(match),
            Names(match["licences"]),
        )
        for rank, match in enumerate(document["matches"], 1)
    ]
    table([*columns, *((title, False) for title in under)], rows, keep=2, below=len(under))
    click.echo()
    name, level = document["ranked_by"]["distance"], document["ranked_by"]["level"]
    measured = f"({name if level in name else f'{name}, {level}'}): smaller is nearer."
    if document["ranked_by"].get("by") == "accuracy":
        say(f"Ranked by the predicted accuracy. Distance {measured}")
    else:
        say(f"Ranked by distance {measured}")
    say("Yours ~ theirs: your classes and those nearest to them, with the distance.")
    if any(match.get("predicted_interval") for match in document["matches"]):
        say("Expected: predicted accuracy with only a new last layer trained; nine in ten lie in brackets.")
    if probe:
        say("Accuracy is on your validation images, with only a new last layer trained.")
        say(
            f"To beat: {percent(probe['val_accuracy'])}, by a linear classifier on the backbone, "
            f"fitted to {probe['images']:,} images. Gain: points of accuracy above it."
        )


def _expected(match: Mapping[str, Any]) -> str:
    """The predicted accuracy, with its interval, in percent."""
    interval = match.get("predicted_interval")
    if interval is None:
        return ""
    low, high = (f"{100 * bound:.0f}" for bound in interval)
    return f"{100 * match['predicted_accuracy']:.0f} % ({low}–{high})"


def _gain(match: Mapping[str, Any], probe: Mapping[str, Any] | None) -> str:
    """Points by which a match with a new last layer is above the probe."""
    if probe is None or match["head_accuracy"] is None:
        return "-"
    return f"{100 * (match['head_accuracy'] - probe['val_accuracy']):+.1f}"


def _pairs(match: Mapping[str, Any]) -> Names:
    """The nearest pairs of classes; all are of one source, which is named if there are others."""
    nearest = sorted(match["class_matches"], key=lambda pair: pair["distance"])[:_PAIRS]
    pairs = [f"{pair['target']} ~ {pair['source_class']} ({pair['distance']:.2f})" for pair in nearest]
    if nearest and len(match["sources"]) > 1:
        pairs[0] = f"{nearest[0]['source']}: {pairs[0]}"
    return Names(pairs)


@click.command("query")
@click.argument("dataset")
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="Answers.")
@click.option("--all", "every", is_flag=True, help="List the matches also where none is close.")
@constraint_options
@latency_options
@licence_option
@exclude_option
@hub_option
@click.option(
    "--by",
    type=click.Choice(["distance", "accuracy"]),
    default="distance",
    show_default=True,
    help="What orders the answers: the distance, or the predicted accuracy.",
)
@click.option("--distance", help="What ranks: class-ot, otdd, mean-feature, ….  [default: class-ot]")
@click.option("--backbone", help="Makes the sketch.  [default: the starter zoo's]")
@bad_image_option
@home_option
@prints(show_answer)
def query_command(
    dataset: str,
    k: int,
    every: bool,
    max_params: int | None,
    max_macs: int | None,
    max_latency: float | None,
    latency_table: Path | None,
    space: str | None,
    licence: str | None,
    exclude: tuple[str, ...],
    hub: bool,
    by: str,
    distance: str | None,
    backbone: str | None,
    on_bad_image: str,
    home: Home,
) -> dict[str, Any]:
    """Find the supernets trained on data like yours.

    Nearest first, and why: which of your classes lie near which of theirs. Parameters and MACs are
    those of the network that the supernet's architecture derives to. No image leaves your machine.
    Where none is close, the answer says what to do instead.

    \b
    Example:
      snt-zoo query photos/
      snt-zoo query sklearn:digits -k 3 --max-params 2M --json
      snt-zoo query photos/ --distance otdd
    """
    del every  # a document has them all
    importlib.import_module("snt_zoo.data")  # loading torch is no part of the time of reading
    start = time.perf_counter()
    data = read_dataset(dataset, on_bad_image)
    read = time.perf_counter() - start
    with stages("opening the registry") as (tell, move):
        from snt_zoo import Zoo

        named = {"backbone": backbone, "distance": distance}
        chosen: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        found = Zoo.open(home).query(
            data,
            k=k,
            max_params=max_params,
            max_macs=max_macs,
            max_latency=max_latency,
            latency_table=latency_table,
            space=space,
            licence=licence,
            exclude=exclude,
            hub=hub,
            by=by,
            on_stage=tell,
            on_progress=move,
            **chosen,
        )
    document = found.to_json()
    return document | data.account() | {"seconds": {"read": read, **document["seconds"]}}
