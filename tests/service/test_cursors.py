from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.errors import RequestError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.pages import Place
from snt_zoo.service.cursors import cursor, place


@given(st.text(max_size=80), st.integers(0, 2**62), st.floats(0, 1))
def test_a_cursor_is_the_place_that_it_was_made_of(text: str, count: int, share: float) -> None:
    where = Filter(tag="x")
    for sort, value in (("-name", text), ("params", count), ("accuracy", share)):
        made = cursor(Place(value, "id"), where, sort)
        assert place(made, where, sort) == Place(value, "id")
        for other in (Filter(), Filter(tag="y")):
            with pytest.raises(RequestError, match="no cursor of this list"):
                place(made, other, sort)


@pytest.mark.parametrize(
    "content", [[1, 2], None, ["name", 5, "x"], [None, "id", "x"], {"a": 1}, [True, "id", ""], "text", 7]
)
def test_what_somebody_made_is_refused(content: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    for sort in ("name", "params"):
        with pytest.raises(RequestError):
            place(text, Filter(), sort)


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_an_error_that_says_so(text: str) -> None:
    with pytest.raises(RequestError):
        place(text, Filter(), "name")
