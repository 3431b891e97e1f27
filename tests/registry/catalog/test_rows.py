"""What is written comes back."""

from __future__ import annotations

from typing import Any

from snt_zoo.registry import BundleConfig
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.records import Record


def test_what_comes_out_is_what_went_in(
    shelf: tuple[Catalog, list[tuple[Record, BundleConfig]]],
) -> None:
    catalog, held = shelf
    found = catalog.get_all([record.id for record, _ in held] + ["nobody"])
    latest = {alias.id for alias in _aliases(catalog)}
    for record, _ in held:
        got = found[record.id]
        assert got.aliases == (("latest",) if record.id in latest else ())
        assert record == Record(**{**vars(got), "aliases": ()})
    assert len(latest) == 7


def _aliases(catalog: Catalog) -> list[Any]:
    from snt_zoo.registry.catalog.aliases import Aliases

    return Aliases(catalog.database).all()
