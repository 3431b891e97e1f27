"""Homes that earlier versions wrote; see `catalog/test_migration.py`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from snt_zoo.encoders.embedding import DatasetEncoder

FORMATS = Path(__file__).parent / "catalog" / "formats"


OLD = sorted(FORMATS.glob("schema-*.zip"))


MEANS = DatasetEncoder("means-v1", lambda sketch: sketch.means.mean(0))


FIRST, SECOND = "letters-b7024793", "letters-31be249e"


def dump(path: Path) -> list[str]:
    """All that a database holds, as SQL."""
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines
