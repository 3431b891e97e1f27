"""The picture of a coupling is written, and its order puts mass near the diagonal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from snt_zoo.encoders.transport import class_distance
from snt_zoo.encoders.transport.picture import FORMATS, _label, column_order, draw_coupling
from snt_zoo.errors import UnknownFormatError
from tests.encoders.making import random_sketch


def test_columns_follow_the_rows_that_their_mass_comes_from() -> None:
    coupling = torch.zeros(4, 5, dtype=torch.float64)
    for row, columns in enumerate(((3,), (0, 4), (2,), (1,))):
        coupling[row, list(columns)] = 0.25 / len(columns)
    assert column_order(coupling) == [3, 0, 4, 2, 1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_written(suffix: str, tmp_path: Path) -> None:
    a = replace(random_sketch(3), class_names=("一", "$x^$", "a long name " * 9))
    path = draw_coupling(class_distance(a, random_sketch(2)), tmp_path / f"c{suffix}", target="a", source="b")
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("classes", [60, 200])
def test_the_picture_grows_with_the_classes_to_a_bound(classes: int, tmp_path: Path) -> None:
    a, b = random_sketch(classes, seed=1), random_sketch(60, seed=2)
    path = draw_coupling(class_distance(a, b), tmp_path / "c.png", target="a", source="b")
    with Image.open(path) as picture:
        width, height = picture.size
    # At least 15 pixels for each of 60 names; never more than 26 inches and margins.
    assert width > 60 * 15 and height > min(classes, 60) * 15
    assert max(width, height) < 32 * 110


def test_names_are_shown_as_the_font_can() -> None:
    assert _label("ab c\nd") == "ab c d"
    assert _label("ก") == "U+0E01"
    assert _label("α") == "α"
    assert _label("$5") == r"\$5"
    assert len(_label("x" * 99)) == 24


def test_another_format_is_refused(tmp_path: Path) -> None:
    found = class_distance(random_sketch(2), random_sketch(2))
    with pytest.raises(UnknownFormatError, match=r"\.png, \.svg, \.pdf"):
        draw_coupling(found, tmp_path / "c.jpg", target="a", source="b")
