"""Kinds of values on the command line, and options that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from snt_zoo.formats.counts import parse_size

_F = TypeVar("_F", bound=Callable[..., Any])


def count(text: str) -> int:
    """Type of an option that takes a count; see `parse_size`."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def duration(text: str) -> str:
    """Type of an option that takes a time, as `10m`; it is read where it is used."""
    from snt_zoo.errors import BudgetError
    from snt_zoo.search.budget import Budget

    try:
        Budget.parse(text)
    except BudgetError as error:
        raise click.BadParameter(str(error)) from error
    return text


def latency(text: str) -> float:
    """Type of an option that takes a latency, as `5ms`, `800us` or `0.1s`; in seconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(us|ms|s)", text.strip(), re.ASCII)
    seconds = 0.0 if found is None else float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is no latency: write it as 5ms, 800us or 0.1s")
    return seconds


def latency_options(function: _F) -> _F:
    """`--max-latency` and `--latency-table`."""
    for option in (
        click.option(
            "--latency-table",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Of the machine that is meant.  [default: this one, by one thread]",
        ),
        click.option("--max-latency", type=latency, help="Most time for one image, as 5ms."),
    ):
        function = option(function)
    return function


def setting(text: str) -> tuple[str, int]:
    """Type of an option that takes `key=value` with a whole number."""
    key, equals, number = text.partition("=")
    if not (key.strip() and equals and re.fullmatch(r"\s*-?\d{1,18}\s*", number, re.ASCII)):
        raise click.BadParameter(f"{text!r} is no setting: write it as channels=16")
    return key.strip(), int(number)


def change(text: str) -> tuple[str, str]:
    """Type of an option that takes `key=value`; the value is read where it is used."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise click.BadParameter(f"{text!r} changes nothing: write it as weight_lr=0.05")
    return key.strip(), value.strip()


def bound(text: str) -> Any:
    """Type of an option that takes a `Bound` on a metric: `ece<=0.1`, `val_accuracy>=0.8`."""
    from snt_zoo import Bound

    try:
        return Bound.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


FOLDER = click.Path(path_type=Path, file_okay=False)

ZOO = "snt_zoo.zoo"
"""Key in click's `meta`: URL of the service that is asked, or None."""

Home = Path | str | None
"""A registry's folder, the URL of a service, or the user's registry."""


def _where(ctx: click.Context, param: click.Parameter, home: Path | None) -> Home:
    url: str | None = ctx.meta.get(ZOO)
    if url is not None and home is not None:
        raise click.UsageError("give --zoo or --home, not both")
    return home if url is None else url


def home_option(function: _F) -> _F:
    """`--home`: the registry, unless `--zoo` names a service's."""
    return click.option(
        "--home",
        type=FOLDER,
        callback=_where,
        help="Folder of the registry.  [default: $SNT_ZOO_HOME, else the user's data folder]",
    )(function)


def here(home: Home, what: str) -> Path | None:
    """The folder, for a command that a service cannot do."""
    if isinstance(home, str):
        raise click.UsageError(f"{what} is done where the registry lies: log in there, and leave out --zoo")
    return home


def device_option(function: _F) -> _F:
    """`--device`: where to compute."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")(
        function
    )


def bad_image_option(function: _F) -> _F:
    """`--on-bad-image`: what becomes of an unreadable file."""
    return click.option(
        "--on-bad-image",
        type=click.Choice(["refuse", "skip"]),
        default="refuse",
        show_default=True,
        help="Whether an unreadable image ends the command or is left out.",
    )(function)


def constraint_options(function: _F) -> _F:
    """`--max-params`, `--max-macs`, `--space`."""
    for option in (
        click.option("--space", help="Only supernets of this search space."),
        click.option("--max-macs", type=count, help="Most multiply-accumulates, as 100M."),
        click.option("--max-params", type=count, help="Most parameters, as 2M."),
    ):
        function = option(function)
    return function


def search_options(function: _F) -> _F:
    """How an architecture is searched, as `recipe`; and bounds on what is derived."""

    @functools.wraps(function)
    def command(
        *args: Any,
        searcher: str | None,
        selection: str | None,
        changes: tuple[tuple[str, str], ...],
        **kwargs: Any,
    ) -> Any:
        named = {"searcher": searcher, "selection": selection}
        recipe = dict(changes) | {name: value for name, value in named.items() if value is not None}
        return function(*args, recipe=recipe, **kwargs)

    for option in (
        click.option(
            "--recipe",
            "changes",
            type=change,
            multiple=True,
            metavar="KEY=VALUE",
            help="A number or name of the training recipe, as weight_lr=0.05; may be repeated.",
        ),
        click.option(
            "--selection",
            type=click.Choice(["alpha", "handicap", "perturbation"]),
            help="How an edge's operation is chosen.  [default: handicap from scratch, else alpha]",
        ),
        click.option(
            "--searcher",
            metavar="NAME",
            help="darts, drnas, gdas, pc-darts or sandwich.  [default: gdas]",
        ),
        click.option("--max-macs", type=count, help="Most multiply-accumulates of the network, as 5M."),
        click.option("--max-params", type=count, help="Most parameters of the network, as 100k."),
    ):
        command = option(command)
    return cast(_F, command)


def licence_option(function: _F) -> _F:
    """`--licence`: of the supernets that are looked at."""
    return click.option("--licence", help="Only this licence; * and ? stand for any signs.")(function)


def filter_options(function: _F) -> _F:
    """What a list is narrowed to, beside `constraint_options`."""
    for option in (
        click.option("--name", help="Only versions of this name."),
        click.option("--tag", help="Only those with this tag."),
        click.option(
            "--metric",
            "metrics",
            multiple=True,
            metavar="BOUND",
            type=bound,
            help="Bound on a metric, as 'ece<=0.1'; may be repeated.",
        ),
        click.option("--max-size", type=count, help="Most bytes of the bundle, as 5M."),
        click.option(
            "--min-accuracy",
            type=click.FloatRange(0, 1),
            help="Least accuracy from 0 to 1: test, or validation where that alone was measured.",
        ),
        licence_option,
        click.option("--source", help="Only those trained on this dataset; * and ? stand for any signs."),
    ):
        function = option(function)
    return function


def exclude_option(function: _F) -> _F:
    """`--exclude`: supernets that shall not be used."""
    return click.option(
        "--exclude",
        multiple=True,
        metavar="ID_OR_TAG",
        help="Leave out a supernet, or all with a tag; may be repeated.",
    )(function)


def hub_option(function: _F) -> _F:
    """`--hub`: whether supernets on the Hub count as well."""
    return click.option(
        "--hub", is_flag=True, help="Also those on the Hugging Face Hub that `snt-zoo sync` saw."
    )(function)


def executor_options(function: _F) -> _F:
    """`--workers` and `--on`: how many tasks run side by side, and where."""
    for option in (
        click.option(
            "--on",
            default="local",
            show_default=True,
            metavar="WHERE",
            help="local, ray (a cluster of this machine, for as long as this runs) or ray://HOST:PORT.",
        ),
        click.option(
            "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes side by side."
        ),
    ):
        function = option(function)
    return function


def seed_option(function: _F) -> _F:
    """`--seed`: of the run's generator."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        help="Decides everything that is random.",
    )(function)


def training_options(function: _F) -> _F:
    """`--seed`, `--resume` and the two kinds of budget; see `one_budget`."""
    for option in (
        click.option("--resume", is_flag=True, help="Go on with an interrupted run."),
        seed_option,
        click.option("--epochs", type=click.IntRange(min=1), help="Epochs, in place of a time."),
    ):
        function = option(function)
    return function


def one_budget(budget: str | None, epochs: int | None) -> None:
    """Refuse a budget in time and in epochs at once."""
    if budget is not None and epochs is not None:
        raise click.UsageError("give --budget or --epochs, not both")
