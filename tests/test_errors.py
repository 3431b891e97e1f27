from __future__ import annotations

import ast
from pathlib import Path

import pytest

from snt_zoo import errors
from snt_zoo.errors import SntZooError, first_line

PACKAGE = Path(errors.__file__).parent
ERRORS = [e for e in vars(errors).values() if isinstance(e, type) and not issubclass(e, Warning)]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_of_the_family_and_of_use(error: type[Exception]) -> None:
    assert issubclass(error, SntZooError) and error.__doc__
    if not error.__subclasses__():
        files = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.stem != "errors")
        texts = (text for text in files if error.__name__ in text)
        used = (node.id for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name))
        assert error.__name__ in used, "nothing raises it"


def test_the_first_line_of_what_a_library_says() -> None:
    assert first_line(OSError("\n first\nsecond")) == "first"
    assert first_line(KeyError()) == "KeyError"
