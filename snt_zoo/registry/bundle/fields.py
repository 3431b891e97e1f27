"""Types of the fields of `config.json`: what a text, a name or a number in it may be."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator

MAX_COUNT = 2**53  # whole numbers above it are not kept by every JSON reader

# Control characters, line separators, marks that reorder text, halves of surrogate pairs,
# non-characters: none belongs in a name, and a terminal, YAML or a reader of the card could be
# fooled by them.
_UNSAFE = "".join(
    [
        r"\x00-\x08\x0b-\x1f\x7f-\x9f",
        r"\u2028-\u202e\u2066-\u2069",
        r"\ud800-\udfff\ufeff\ufffe\uffff",
    ]
)
_UNSAFE_IN_LINE = re.compile(f"[\t\n{_UNSAFE}]")
_UNSAFE_IN_PROSE = re.compile(f"[{_UNSAFE}]")


def one_line(text: str) -> str:
    """The text itself; raises `ValueError` if it holds a line break or a control character."""
    if found := _UNSAFE_IN_LINE.search(text):
        raise ValueError(f"must be one line without control characters, has {found[0]!r}")
    return text


def _prose(text: str) -> str:
    if found := _UNSAFE_IN_PROSE.search(text):
        raise ValueError(f"must be text without control characters, has {found[0]!r}")
    return text


def _iso_date(text: str) -> str:
    # `fromisoformat` takes any sign between day and time; Python 3.10 does not read the Z.
    if re.fullmatch(r"[-0-9TWZ:., +]*", text, re.ASCII) is None:
        raise ValueError(f"must be a date or a time in ISO 8601, got {text!a}")
    datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    return text


def _setting(value: Any) -> str | bool | int | float:
    # By hand: the message for a union would name each of its members.
    if isinstance(value, str) and len(value) <= 1000:
        return one_line(value)
    if isinstance(value, (bool, int)) and abs(value) <= MAX_COUNT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        f"must be a finite number, true, false or a line of at most 1000 characters, got {ascii(value)[:60]}"
    )


_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}-[0-9a-f]{8}", re.ASCII)  # a `Name`, and the start of a digest


def is_id(text: str) -> bool:
    """Whether a text is the id of a bundle: nothing else may become a path in a registry.

    Ids are read back from rows, from marks and from the names of folders, all of which somebody may have
    edited.
    """
    return _ID.fullmatch(text) is not None


Line = Annotated[str, Field(max_length=1000), AfterValidator(one_line)]
Prose = Annotated[str, Field(max_length=20_000), AfterValidator(_prose)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Share = Annotated[float, Field(ge=0, le=1)]
Date = Annotated[str, Field(max_length=40), AfterValidator(_iso_date)]
Setting = Annotated[str | bool | int | float, PlainValidator(_setting)]
