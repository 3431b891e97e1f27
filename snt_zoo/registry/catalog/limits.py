"""How much a registry may hold, and which bundles to remove where it is too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from snt_zoo.errors import StoreFullError
from snt_zoo.registry.bundle.manifest import FileEntry
from snt_zoo.registry.catalog.aliases import LATEST
from snt_zoo.registry.catalog.lookup import Lookup
from snt_zoo.registry.catalog.tables import ALIASES, BUNDLES, FILES

_NAMED = 3  # bundles in a message


@dataclass(frozen=True)
class Usage:
    """How full a registry is.

    Args:
        bytes: of all bundles; a file that several share counts once.
        limit: most bytes that they may take; None for no limit.
    """

    bytes: int
    limit: int | None

    @property
    def room(self) -> int | None:
        """Bytes that are left; None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.bytes)


def usage(catalog: Lookup) -> Usage:
    """How full the registry of a catalog is."""
    return Usage(sum(catalog.files().values()), catalog.limit())


def check_room(catalog: Lookup, files: Mapping[str, FileEntry]) -> None:
    """Raise `StoreFullError`, which names what could be removed, if a bundle's files do not fit in.

    Args:
        catalog: of the registry.
        files: of the bundle; those that the registry has already take nothing.
    """
    limit = catalog.limit()
    if limit is None:
        return
    held = catalog.files()
    used = sum(held.values())
    needed = sum(entry.size for entry in files.values() if entry.sha256 not in held)
    missing = used + needed - limit
    if missing <= 0:
        return
    chosen: list[str] = []
    freed = 0
    for id, own in _oldest(catalog):
        if freed >= missing or len(chosen) == _NAMED:
            break
        chosen.append(f"{id} ({own:,} bytes)")
        freed += own
    advice = f"remove {', '.join(chosen)} with `snt-zoo remove ID`, or " if chosen else ""
    raise StoreFullError(
        f"the registry may hold {limit:,} bytes, holds {used:,}, and the bundle needs {needed:,}: "
        f"{advice}raise the limit with `snt-zoo limit SIZE`"
    )


def _oldest(catalog: Lookup) -> list[tuple[str, int]]:
    """Ids of the bundles, and the bytes that each alone needs; those without an alias, then by age."""
    shared = sa.select(FILES.c.sha256).group_by(FILES.c.sha256).having(sa.func.count() > 1)
    own = (
        sa.select(sa.func.coalesce(sa.func.sum(FILES.c.size), 0))
        .where(FILES.c.bundle == BUNDLES.c.id, FILES.c.sha256.not_in(shared))
        .scalar_subquery()
    )
    named = sa.exists().where(ALIASES.c.bundle == BUNDLES.c.id, ALIASES.c.alias != LATEST)
    newest = sa.exists().where(ALIASES.c.bundle == BUNDLES.c.id, ALIASES.c.alias == LATEST)
    query = sa.select(BUNDLES.c.id, own).order_by(named, newest, BUNDLES.c.added_at, BUNDLES.c.id)
    with catalog.database.read() as connection:
        return [(id, size) for id, size in connection.execute(query.limit(_NAMED))]
