"""Aliases: names such as `latest` or `best` that stand for one version, and can be moved.

A version is a digest and never changes; an alias is how people and scripts say which one they mean.
Each move is written down with its time, both versions, who made it and why, and stays written down
when the version or the alias is gone. `latest` is moved by every add, and can be moved by hand.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

import sqlalchemy as sa

from snt_zoo.errors import AliasError, NotInRegistryError
from snt_zoo.registry.bundle.fields import one_line
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.tables import ALIASES, BUNDLES, MOVES

LATEST = "latest"
ADDED = " was added"
"""What the trail says of a version that came, behind its id."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]+", re.ASCII)
_WHY_LENGTH = 1000


@dataclass(frozen=True)
class Alias:
    """A name for a version.

    Args:
        name: of the bundles.
        alias: the name for one of them.
        id: of the bundle for which it stands.
        digest: of that version.
    """

    name: str
    alias: str
    id: str
    digest: str


@dataclass(frozen=True)
class AliasMove:
    """One entry of the audit trail.

    Args:
        at: when, ISO 8601, UTC.
        name: of the bundles.
        alias: that was moved.
        previous: digest for which it stood before; None if it was new.
        digest: for which it stands since; None if it was dropped.
        by: who moved it.
        why: in their words.
    """

    at: str
    name: str
    alias: str
    previous: str | None
    digest: str | None
    by: str
    why: str


class Aliases:
    """The aliases of a catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def move(self, alias: str, id: str, *, why: str = "", by: str | None = None) -> Alias:
        """Let an alias of a bundle's name stand for that bundle; one that does so stays as it is.

        Args:
            alias: letters, digits, `.`, `_` and `-`, at most 64; not only of hexadecimal digits,
                which would be a digest.
            id: of the bundle.
            why: a line for the audit trail.
            by: who moves it; by default the name of the user.

        Raises:
            AliasError: that is no name for an alias, or no line.
            NotInRegistryError: there is no such bundle.
        """
        check_alias(alias)
        _check_why(why)
        with self._database.write() as connection:
            query = sa.select(BUNDLES.c.name, BUNDLES.c.digest).where(BUNDLES.c.id == id)
            row = connection.execute(query).first()
            if row is None:
                raise NotInRegistryError(f"no supernet {ascii(id)[:100]} in the registry: see `snt-zoo list`")
            move(connection, row[0], alias, id, why=why, by=by)
        return Alias(row[0], alias, id, row[1])

    def drop(self, name: str, alias: str, *, why: str = "", by: str | None = None) -> None:
        """Take an alias away; its history stays.

        Raises:
            NotInRegistryError: there is no such alias.
        """
        _check_why(why)
        with self._database.write() as connection:
            if _held(connection, name, alias) is None:
                raise NotInRegistryError(
                    f"no alias {ascii(f'{name}@{alias}')[:150]} in the registry: see `snt-zoo aliases`"
                )
            move(connection, name, alias, None, why=why, by=by)

    def all(self, name: str | None = None) -> list[Alias]:
        """The aliases, by name; of one bundle's name if it is given."""
        query = sa.select(ALIASES.c.name, ALIASES.c.alias, BUNDLES.c.id, BUNDLES.c.digest)
        query = query.join_from(ALIASES, BUNDLES).order_by(ALIASES.c.name, ALIASES.c.alias)
        if name is not None:
            query = query.where(ALIASES.c.name == name)
        with self._database.read() as connection:
            return [Alias(*row) for row in connection.execute(query)]

    def history(self, name: str | None = None, alias: str | None = None) -> list[AliasMove]:
        """The audit trail, oldest first; of one name or one alias if they are given."""
        columns = [c for c in MOVES.columns if c.name != "id"]
        query = sa.select(*columns).order_by(MOVES.c.id)
        if name is not None:
            query = query.where(MOVES.c.name == name)
        if alias is not None:
            query = query.where(MOVES.c.alias == alias)
        with self._database.read() as connection:
            return [AliasMove(**row._mapping) for row in connection.execute(query)]


def move(
    connection: sa.Connection, name: str, alias: str, id: str | None, *, why: str, by: str | None = None
) -> None:
    """Move, make or drop (`id` None) an alias within a transaction, and write it down."""
    held = _held(connection, name, alias)
    if held == id:
        return
    here = sa.and_(ALIASES.c.name == name, ALIASES.c.alias == alias)
    if id is None:
        connection.execute(ALIASES.delete().where(here))
    elif held is None:
        connection.execute(ALIASES.insert().values(name=name, alias=alias, bundle=id))
    else:
        connection.execute(ALIASES.update().where(here).values(bundle=id))
    connection.execute(
        MOVES.insert().values(
            at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            name=name,
            alias=alias,
            previous=_digest(connection, held),
            digest=_digest(connection, id),
            by=by or whoami(),
            why=why,
        )
    )


def leave(connection: sa.Connection, id: str) -> None:
    """Before a bundle goes: its aliases go, and `latest` moves to the newest that stays."""
    query = sa.select(ALIASES.c.name, ALIASES.c.alias).where(ALIASES.c.bundle == id)
    for name, alias in connection.execute(query).all():
        staying = sa.select(BUNDLES.c.id).where(BUNDLES.c.name == name, BUNDLES.c.id != id)
        # By the trail, whose numbers only grow: a clock may have been set back or far ahead meanwhile.
        added = (
            sa.select(sa.func.max(MOVES.c.id))
            .where(MOVES.c.digest == BUNDLES.c.digest, MOVES.c.why == BUNDLES.c.id.concat(ADDED))
            .scalar_subquery()
        )
        staying = staying.order_by(added.desc().nulls_last())
        newest = staying.order_by(BUNDLES.c.added_at.desc(), sa.literal_column("rowid").desc()).limit(1)
        follower = connection.scalar(newest) if alias == LATEST else None
        move(connection, name, alias, follower, why=f"{id} was removed")


def recall(connection: sa.Connection, id: str, *, why: str) -> None:
    """When a bundle is listed again: the aliases that by their last move stand for it, and `latest`."""
    name, digest = connection.execute(
        sa.select(BUNDLES.c.name, BUNDLES.c.digest).where(BUNDLES.c.id == id)
    ).one()
    last = sa.select(sa.func.max(MOVES.c.id)).where(MOVES.c.name == name).group_by(MOVES.c.alias)
    query = sa.select(MOVES.c.alias).where(MOVES.c.id.in_(last), MOVES.c.digest == digest)
    for alias in connection.scalars(query).all():
        if _held(connection, name, alias) is None:
            connection.execute(ALIASES.insert().values(name=name, alias=alias, bundle=id))
    ended = sa.select(MOVES.c.digest).where(MOVES.c.name == name, MOVES.c.alias == LATEST)
    standing = connection.scalar(ended.order_by(MOVES.c.id.desc()).limit(1))
    # Where `latest` is known to stand for a version that may yet be listed, it waits for that one.
    if standing is None and _held(connection, name, LATEST) is None:
        move(connection, name, LATEST, id, why=why)


def whoami() -> str:
    """The user's name, for the audit trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, in a container
        return "unknown"


def check_alias(alias: str) -> None:
    """Raise `AliasError` unless that can be the name of an alias."""
    if not _WORD.fullmatch(alias) or _DIGEST.fullmatch(alias):
        raise AliasError(
            f"{ascii(alias)[:80]} is no name for an alias: use up to 64 letters, digits, '.', '_' and "
            "'-', and not the digits of a digest (0-9, a-f) alone"
        )


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags themselves; raises `AliasError` for one that a bundle's config could not hold."""
    found = tuple(tags)
    for tag in found:
        if not _WORD.fullmatch(tag):
            raise AliasError(
                f"{ascii(tag)[:80]} is no tag: use up to 64 letters, digits, '.', '_' and '-', the first a "
                "letter or a digit"
            )
    return found


def _check_why(why: str) -> None:
    try:
        one_line(why)
    except ValueError as error:
        raise AliasError(f"the reason for a move {error}") from error
    if len(why) > _WHY_LENGTH:
        raise AliasError(f"the reason for a move must have at most {_WHY_LENGTH} signs, has {len(why):,}")


def _held(connection: sa.Connection, name: str, alias: str) -> str | None:
    query = sa.select(ALIASES.c.bundle).where(ALIASES.c.name == name, ALIASES.c.alias == alias)
    found: str | None = connection.scalar(query)
    return found


def _digest(connection: sa.Connection, id: str | None) -> str | None:
    if id is None:
        return None
    found: str | None = connection.scalar(sa.select(BUNDLES.c.digest).where(BUNDLES.c.id == id))
    return found
