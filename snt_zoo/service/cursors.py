"""Where the next page of a list begins, as a text that means nothing to a client."""

from __future__ import annotations

import base64
import hashlib
import json

from snt_zoo.errors import RequestError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.pages import Place

LONGEST = 1000
"""Signs of a cursor."""


def cursor(place: Place, where: Filter, sort: str) -> str:
    """The cursor of the page behind a row, in the list with these conditions."""
    text = json.dumps([place.value, place.id, _list(where, sort)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place(text: str, where: Filter, sort: str) -> Place:
    """The row behind which a page begins.

    Raises:
        RequestError: it is no cursor of that list.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        value, id, known = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        value = id = known = None
    named = sort.removeprefix("-") in ("name", "added")
    fits = isinstance(value, str) if named else type(value) in (int, float) and abs(value) < 2**63
    if not fits or not isinstance(id, str) or known != _list(where, sort):
        raise RequestError("that is no cursor of this list: begin again without one")
    return Place(value, id)


def _list(where: Filter, sort: str) -> str:
    """What tells one list from another: rows of one are not to be sought in the other."""
    return hashlib.sha256(repr((where, sort)).encode("utf-8", "backslashreplace")).hexdigest()[:16]
