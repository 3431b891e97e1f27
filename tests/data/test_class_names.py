from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.data.class_names import one_line


@pytest.mark.parametrize("name", ["cat", "café", "犬　猫", "می‌خواهم", "👩‍👧", "a b", "C:\\x", ""])
def test_names_of_people_stay_as_they_are(name: str) -> None:
    assert one_line(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cafe\u0301", "café"),
        ("cat\nerror: none", "cat\\nerror: none"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("cat\u202egnp.exe", "cat\\u202egnp.exe"),
        ("\u2066a\u2069\u200f", "\\u2066a\\u2069\\u200f"),
        ("a\u2028b\u2029c\x85", "a\\u2028b\\u2029c\\x85"),
        ("\ufeffcat", "\\ufeffcat"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_would_steer_a_terminal_is_spelt_out(name: str, shown: str) -> None:
    assert one_line(name) == shown


def test_bytes_that_are_no_utf8_stay_apart() -> None:
    names = [word.encode("gbk") for word in ("狗", "鸟", "牛")]
    shown = [one_line(name.decode("utf-8", "surrogateescape")) for name in names]
    assert len(set(shown)) == 3
    assert shown[0] == "\\xb9\\xb7"


def test_a_name_that_the_c_locale_could_not_decode_is_what_it_is_elsewhere() -> None:
    assert one_line("café".encode().decode("ascii", "surrogateescape")) == "café"


@given(st.text(st.characters()))
def test_any_name_becomes_one_line_that_can_be_stored(name: str) -> None:
    shown = one_line(name)
    assert one_line(shown) == shown
    assert len(shown.splitlines()) <= 1
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode()) == shown
