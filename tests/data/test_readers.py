"""`tests/data/readers/cases.py` for each reader."""

from __future__ import annotations

import importlib
from pathlib import Path

from snt_zoo.data import list_readers

from .readers.cases import ReaderTestCase


def test_every_reader_has_its_case() -> None:
    for path in Path(__file__).with_name("readers").glob("test_*.py"):
        importlib.import_module(f"{__package__}.readers.{path.stem}")
    assert {case.name for case in ReaderTestCase.__subclasses__()} == set(list_readers())
