"""Counts: what is shown reads back, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.formats.counts import format_size, parse_size

FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


@given(st.integers(1, 10**12), st.sampled_from(sorted(FACTORS)), st.booleans())
def test_a_suffix_multiplies_in_any_case(number: int, suffix: str, upper: bool) -> None:
    text = f"{number}{suffix.upper() if upper else suffix.lower()}"
    assert parse_size(text) == number * FACTORS[suffix]


@given(st.integers(1, 10**15))
def test_fractions_are_exact(thousandths: int) -> None:
    assert parse_size(f"{thousandths // 1000}.{thousandths % 1000:03}k") == thousandths


@given(st.integers(1, 10**14))
def test_what_is_shown_reads_back_to_three_digits(number: int) -> None:
    shown = format_size(number)
    assert abs(parse_size(shown) - number) <= 0.005 * number
    assert len(shown.rstrip("kMG")) <= 6


@given(st.integers(1, 10**14), st.integers(1, 10**14))
def test_what_is_shown_keeps_the_order(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert parse_size(format_size(low)) <= parse_size(format_size(high))


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "0.0001k", "2X", "2MB", "1e6", "nan", "inf", "1_000", "٣", "9" * 99, "M"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"count|whole number"):
        parse_size(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert parse_size(text) >= 1
    except ValueError as error:
        assert repr(text) in str(error)
