"""Where a supernet comes from: what it was trained on and by what, its parents, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from snt_zoo.registry.catalog.lookup import Lookup
from snt_zoo.registry.catalog.records import Record


@dataclass(frozen=True)
class Origin:
    """One supernet in a line of descent.

    Args:
        id: as the bundle of its child names it.
        here: whether it is in this registry.
        sources: names of the datasets that it was trained on, with the fingerprint of each.
        seed: of its training.
        code_version: of the snt-zoo that trained it.
    """

    id: str
    here: bool
    sources: tuple[tuple[str, str], ...] = ()
    seed: int | None = None
    code_version: str | None = None

    @classmethod
    def of(cls, record: Record) -> Origin:
        """The entry of a bundle that is here."""
        sources = tuple(zip(record.sources, record.fingerprints, strict=False))
        return cls(record.id, True, sources, record.seed, record.code_version)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        sources = [{"name": name, "fingerprint": fingerprint} for name, fingerprint in self.sources]
        return asdict(self) | {"sources": sources}


@dataclass(frozen=True)
class Lineage:
    """The line of descent of a supernet.

    Args:
        itself: the supernet.
        ancestors: its parent, the parent of that, and so on as far as they are known.
        children: those whose training began with it.
    """

    itself: Origin
    ancestors: tuple[Origin, ...]
    children: tuple[Origin, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return self.itself.to_json() | {
            "ancestors": [origin.to_json() for origin in self.ancestors],
            "children": [origin.to_json() for origin in self.children],
        }


def lineage(catalog: Lookup, record: Record) -> Lineage:
    """The line of descent of a bundle, as far as the registry knows it.

    A parent that is not here, or whose name comes back in its own line, ends it: what a bundle says
    of its parent is its author's word.
    """
    ancestors: list[Origin] = []
    seen = {record.id}
    parent = record.parent
    while parent is not None and parent not in seen:
        seen.add(parent)
        found = catalog.get(parent)
        ancestors.append(Origin(parent, False) if found is None else Origin.of(found))
        parent = None if found is None else found.parent
    children = tuple(Origin.of(child) for child in catalog.children(record.id))
    return Lineage(Origin.of(record), tuple(ancestors), children)
