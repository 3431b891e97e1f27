"""Counts, settings: kinds of values."""

from __future__ import annotations

import click
import pytest

from snt_zoo.cli.parameters import duration, setting
from snt_zoo.search.searchers import get_searcher, list_searchers

from .conftest import invoke


def test_settings() -> None:
    assert setting("channels=16") == ("channels", 16)
    for text in ("channels", "=3", "channels=", "channels=a", "channels=1.5", "channels=" + "9" * 30):
        with pytest.raises(click.BadParameter):
            setting(text)


def test_a_time_is_passed_on_as_it_was_written() -> None:
    assert duration("1h30m") == "1h30m"
    with pytest.raises(click.BadParameter, match="10m"):
        duration("soon")


def test_the_help_names_every_searcher() -> None:
    for command in ("finetune", "pretrain"):
        text = " ".join(invoke(command, "--help").output.split()).replace("- ", "-")  # lines break there
        shipped = [n for n in list_searchers() if get_searcher(n).__module__.startswith("snt_zoo.")]
        for name in shipped:
            assert name in text
