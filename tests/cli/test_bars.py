from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import torch
from rich.console import Console

from snt_zoo.cli import bars
from snt_zoo.data import decoded
from tests.data.making import array_split


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """What `in_progress` says from the first drawing on; the last stays."""
    says = [(0, 0)]
    monkeypatch.setattr(decoded, "in_progress", lambda: says.pop(0) if len(says) > 1 else says[0])
    yield says


def drawn(made: bars.Bars) -> str:
    console = Console(file=io.StringIO(), width=100)
    for renderable in made.get_renderables():
        console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_decoding_has_a_bar_once_it_takes_long(progress: list[tuple[int, int]]) -> None:
    made = bars.Bars(Console(file=io.StringIO()), 60)
    now = [0.0]
    made.get_time = lambda: now[0]  # type: ignore[method-assign]
    progress[:] = [(0, 0), (64, 16_000), (128, 16_000)]
    assert "decoding" not in drawn(made)
    assert "decoding" not in drawn(made)  # it has just begun
    now[0] = bars.LONG
    seen = drawn(made)
    assert "starting" in seen and "decoding" in seen and "128 of 16,000 images" in seen
    progress[:] = [(0, 0)]
    assert "decoding" not in drawn(made)


def test_a_spinner_says_how_far_it_is(progress: list[tuple[int, int]]) -> None:
    said = bars.Said("making a sketch of [photos]")
    assert str(said.__rich__()) == "making a sketch of [photos]"
    progress[:] = [(64, 2_000)]
    assert str(said.__rich__()) == "making a sketch of [photos], 64 of 2,000 images decoded"


def test_what_is_decoded_is_what_is_drawn() -> None:
    split = array_split(70)
    wanted = split.decoded(8)
    before = bars._decoded()
    wanted.take(torch.arange(64))
    after = bars._decoded()
    assert (after[0] - before[0], after[1]) == (64, before[1])
