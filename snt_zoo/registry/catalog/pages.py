"""Pages of the list of bundles: sorted, each beginning where the last one ended, with how many there are.

A page begins behind a row and not at a number, so that none is shown twice or left out when bundles come and
go meanwhile, and the last page costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snt_zoo.errors import RegistryError
from snt_zoo.registry.catalog import rows
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.tables import BUNDLES

MAX_ROWS = 500  # SQLite takes a bounded number of parameters

_SORTS: dict[str, sa.ColumnElement[Any]] = {
    "name": BUNDLES.c.name,
    "added": BUNDLES.c.added_at,
    "params": BUNDLES.c.params,
    "macs": BUNDLES.c.macs,
    "size": BUNDLES.c.size,
    # What was not measured comes last of the best.
    "accuracy": sa.func.coalesce(BUNDLES.c.test_accuracy, BUNDLES.c.val_accuracy, -1.0),
}
SORTS = (*_SORTS, *(f"-{name}" for name in _SORTS))
"""What a list can be sorted by; with a minus sign the largest, or the latest, comes first."""


@dataclass(frozen=True)
class Place:
    """A row of a sorted list.

    Args:
        value: what it is sorted by.
        id: of the bundle.
    """

    value: str | int | float
    id: str


@dataclass(frozen=True)
class Page:
    """A part of the list.

    Args:
        records: in order.
        total: how many bundles fit, on all pages together.
        end: the last row, behind which the next page begins; None if there is no more.
    """

    records: tuple[Record, ...]
    total: int
    end: Place | None


def page(
    connection: sa.Connection,
    where: Filter,
    locate: Callable[[str], Path],
    *,
    sort: str = "name",
    after: Place | None = None,
    limit: int = 50,
) -> Page:
    """A page of the bundles that fit.

    Args:
        connection: to the catalog: rows and total are of one moment.
        where: conditions.
        locate: gives the folder of a bundle's id.
        sort: one of `SORTS`; of equals by id.
        after: the row behind which it begins; None for the first page.
        limit: rows, from 1 to `MAX_ROWS`.

    Raises:
        RegistryError: it cannot be sorted by that, or the limit is out of range.
    """
    if sort not in SORTS or not 1 <= limit <= MAX_ROWS:
        raise RegistryError(
            f"a page has 1 to {MAX_ROWS} rows and is sorted by one of {', '.join(SORTS)}, got {limit} and "
            f"{ascii(sort)[:40]}"
        )
    falling, key = sort.startswith("-"), _SORTS[sort.removeprefix("-")]
    conditions = where.conditions()
    total = connection.scalar(sa.select(sa.func.count()).select_from(BUNDLES).where(*conditions))
    query = sa.select(BUNDLES.c.id, key.label("value")).where(*conditions)
    if after is not None:
        here = sa.tuple_(key, BUNDLES.c.id)
        row = sa.tuple_(sa.literal(after.value), sa.literal(after.id))
        query = query.where(here < row if falling else here > row)
    order = [column.desc() if falling else column.asc() for column in (key, BUNDLES.c.id)]
    found = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    ids = [row.id for row in found[:limit]]
    known = {one.id: one for one in rows.records(connection, [BUNDLES.c.id.in_(ids)], locate)}
    end = Place(found[limit - 1].value, found[limit - 1].id) if len(found) > limit else None
    return Page(tuple(known[id] for id in ids if id in known), int(total or 0), end)
