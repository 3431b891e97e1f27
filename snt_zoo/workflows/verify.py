"""Verification of a registry's folder, also of one that does not open any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snt_zoo.errors import DamagedCatalogError
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.upkeep.verification import Verification


def verify(
    home: str | Path | None = None,
    id: str | None = None,
    *,
    repair: bool = False,
    on_bundle: Callable[[int, int], None] = lambda done, all: None,
) -> Verification:
    """Check every hash, the catalog against the disk and the index against the catalog.

    For registries that do not open any more, so it takes the folder and not an open zoo.

    Args:
        home: the folder, as in `Zoo.open`.
        id: of one supernet, as in `Zoo.show`; None for everything.
        repair: make again what can be made again; a catalog that cannot be read is set aside and
            made anew from the bundles.
        on_bundle: called with how many bundles are done, of how many.

    Raises:
        NotInRegistryError: none fits, or several.
        DamagedCatalogError: the catalog cannot be read, and nothing is to be repaired.
    """
    try:
        registry = Registry.open(home)
        full = None if id is None else registry.resolve(id)
        return registry.verify(full, repair=repair, on_bundle=on_bundle)
    except DamagedCatalogError:
        if not repair:
            raise
        return Registry.rescue(home)[1]
