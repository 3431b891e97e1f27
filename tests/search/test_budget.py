"""Budgets as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.errors import BudgetError
from snt_zoo.search.budget import Budget, Clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5m", 90),
        (" 2M ", 120),
        (45, 45),
        ("1h5s", 3605),
    ],
)
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert Budget.parse(text).seconds == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "10 minutes", "5x", "-3s", "0", "m", "s10", "nan", float("nan")]
)
def test_anything_else_is_an_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(BudgetError, match=r"10m|at least"):
        Budget.parse(text)


@given(st.integers(0, 50), st.integers(0, 59), st.integers(1, 59))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert Budget.parse(f"{hours}h{minutes}m{seconds}s").seconds == hours * 3600 + minutes * 60 + seconds


def test_a_budget_is_in_time_or_in_epochs() -> None:
    assert str(Budget(epochs=3)) == "3 epochs" and str(Budget(seconds=90)) == "90 s"
    with pytest.raises(BudgetError, match="either"):
        Budget()
    with pytest.raises(BudgetError, match="either"):
        Budget(seconds=3, epochs=3)
    with pytest.raises(BudgetError, match="at least one epoch"):
        Budget(epochs=0)


def test_a_clock_counts_what_ran_before() -> None:
    assert 100 <= Clock(100.0).seconds() < 101
