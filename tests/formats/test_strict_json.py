from __future__ import annotations

import math

import pytest

from snt_zoo.errors import ConfigError, TensorError
from snt_zoo.formats.strict_json import dump_json, parse_json

DOCUMENT = {"b": [None, True, -(2**70), 0.1, 5e-324, {"": {}}], "a": '漢\u2028\n\x00"', "ü": []}


def test_what_is_written_is_read_and_does_not_depend_on_the_order() -> None:
    raw = dump_json(DOCUMENT)
    assert parse_json(raw, what="x", limit=len(raw)) == DOCUMENT
    assert dump_json(dict(reversed(DOCUMENT.items()))) == raw
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"a": math.inf})


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' stands there twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": "\xff"}', "cannot be read as JSON"),
        (b"[1]", "must be a JSON object, got a list"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1' + b" " * 200_000 + b"}", "at most 150,000 bytes"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^x .*{told}"):
        parse_json(raw, what="x", limit=150_000)
    with pytest.raises(TensorError):
        parse_json(raw, what="x", limit=150_000, error=TensorError)
