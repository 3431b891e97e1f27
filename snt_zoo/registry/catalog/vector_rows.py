"""The vectors in the catalog: what the index is made of, and what has the last word on its answers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.tables import BUNDLES, STATE, VECTORS
from snt_zoo.registry.catalog.vectors import Ids, Maker, Vectors

CHUNK = 50_000  # vectors in memory at once
_GENERATION = "generation"

Condition = sa.ColumnElement[bool]

_DIM = sa.func.length(VECTORS.c.data).op("/")(4)
_MAKERS = sa.select(BUNDLES.c.backbone, BUNDLES.c.encoder, _DIM).join_from(VECTORS, BUNDLES)
_STATE = sa.select(STATE.c.key, STATE.c.value)
_EACH = sa.select(sa.func.json_each(sa.bindparam("values")).table_valued("value").c.value)
"""Values as a table: one parameter, however many they are."""
_DIGESTS = sa.select(BUNDLES.c.id, BUNDLES.c.digest).where(BUNDLES.c.id.in_(_EACH))
_FOUND = sa.select(VECTORS.c.bundle, VECTORS.c.data).where(VECTORS.c.id.in_(_EACH)).order_by(VECTORS.c.id)


@dataclass(frozen=True)
class State:
    """Which catalog it is, and at which moment.

    Args:
        generation: a number of this catalog alone; None until an index file was written for it.
        revision: every change counts it up.
    """

    generation: int | None
    revision: int


def state(connection: sa.Connection) -> State:
    """The moment that a transaction sees."""
    values = dict(connection.execute(_STATE).all())
    return State(values.get(_GENERATION), int(values.get("revision", 0)))


def name_catalog(database: Database) -> None:
    """Give the catalog its generation, unless it has one."""
    row = {"key": _GENERATION, "value": secrets.randbits(63)}
    with database.write() as connection:
        connection.execute(STATE.insert().prefix_with("OR IGNORE").values(row))


def maker(connection: sa.Connection, *, without: str | None = None) -> Maker | None:
    """What made the vectors (of all bundles but one); None if there are none."""
    # One row speaks for all: an add of another maker is refused.
    query = _MAKERS if without is None else _MAKERS.where(BUNDLES.c.id != without)
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Maker(*row)


def makers(connection: sa.Connection) -> list[Maker]:
    """What made the vectors: more than one maker only where a catalog was spoilt."""
    return [Maker(*row) for row in connection.execute(_MAKERS.distinct())]


def count(connection: sa.Connection, *, after: int = -1) -> int:
    """How many vectors there are, of those with an id above `after`."""
    query = sa.select(sa.func.count()).select_from(VECTORS)
    return int(connection.scalar(query if after < 0 else query.where(VECTORS.c.id > after)) or 0)


def newest(connection: sa.Connection) -> int:
    """The largest id; -1 if there is none."""
    largest = connection.scalar(sa.select(sa.func.max(VECTORS.c.id)))
    return -1 if largest is None else int(largest)


def matching(
    connection: sa.Connection,
    conditions: Sequence[Condition] = (),
    *,
    bundles: AbstractSet[str] | None = None,
) -> Ids:
    """Ids of the vectors whose bundle meets the conditions on its row, and is one of `bundles`."""
    # One text instead of a row for each: a million ids in a quarter of a second.
    query = sa.select(sa.func.group_concat(VECTORS.c.id))
    if conditions:
        query = query.where(VECTORS.c.bundle.in_(sa.select(BUNDLES.c.id).where(*conditions)))
    if bundles is not None:
        query = query.where(VECTORS.c.bundle.in_(_EACH))
    text = connection.scalar(query, {} if bundles is None else {"values": json.dumps(sorted(bundles))})
    return np.fromstring(text, dtype=np.int64, sep=",") if text else np.empty(0, np.int64)


def chunks(connection: sa.Connection, *, after: int = -1) -> Iterator[tuple[Ids, Vectors]]:
    """Ids and vectors, ``n x dim``, of all above `after`, in the order in which they were added."""
    query = sa.select(VECTORS.c.id, VECTORS.c.data).where(VECTORS.c.id > after).order_by(VECTORS.c.id)
    for part in connection.execute(query).partitions(CHUNK):
        yield np.array([row[0] for row in part], dtype=np.int64), _decode([row[1] for row in part])


def fetch(connection: sa.Connection, ids: Ids) -> Vectors:
    """The vectors of these ids, ``n x dim``, by id."""
    found = connection.execute(_FOUND, {"values": json.dumps(ids.tolist())}).all()
    return _decode([row[1] for row in found])


def of_bundles(connection: sa.Connection, bundles: Sequence[str]) -> dict[str, Vectors]:
    """The vectors of some bundles, ``n x dim`` for one with n, in the order in which they were added."""
    query = sa.select(VECTORS.c.bundle, VECTORS.c.data).where(VECTORS.c.bundle.in_(_EACH))
    found: dict[str, list[bytes]] = {}
    for bundle, data in connection.execute(
        query.order_by(VECTORS.c.id), {"values": json.dumps(list(bundles))}
    ):
        found.setdefault(bundle, []).append(data)
    return {bundle: _decode(blobs) for bundle, blobs in found.items()}


def digests(connection: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
    """The digests of these bundles; one that is not there is left out."""
    return dict(connection.execute(_DIGESTS, {"values": json.dumps(list(ids))}).all())


def best_of_bundles(
    connection: sa.Connection,
    vector: Vectors,
    ids: Ids,
    conditions: Sequence[Condition] = (),
    *,
    bundles: AbstractSet[str] | None = None,
) -> tuple[dict[str, float], int]:
    """The cosine of each bundle's best vector, among some vectors.

    Args:
        connection: to the catalog.
        vector: ``dim``, of unit length.
        ids: to look at; what was removed meanwhile, or does not meet the conditions, is left out.
        conditions: on the bundle's row.
        bundles: the bundles that count; None for all.

    Returns:
        Bundles and cosines, and how many of the vectors counted.
    """
    query = _FOUND
    if conditions:
        query = query.join_from(VECTORS, BUNDLES).where(*conditions)
    found = connection.execute(query, {"values": json.dumps(ids.tolist())}).all()
    rows = [row for row in found if bundles is None or row[0] in bundles]
    best: dict[str, float] = {}
    if rows:
        scores = np.clip(_decode([row[1] for row in rows]) @ vector, -1.0, 1.0)
        for row, score in zip(rows, scores.tolist(), strict=True):
            best[row[0]] = max(score, best.get(row[0], -1.0))
    return best, len(rows)


def _decode(blobs: list[bytes]) -> Vectors:
    if not blobs:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").astype(np.float32, copy=False).reshape(len(blobs), -1)
