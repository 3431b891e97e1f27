"""`hub.sqlite`: what the last sync saw of the Hub, so that a query ranks supernets that are not here.

A cache and nothing more: it stands apart from the registry's catalog, may be deleted at any time, and is made
anew when it is damaged or of another version. For each repository it keeps the commit and, of a supernet,
the config's figures, the file of sketches and their embeddings. The figures are their author's claims
until the weights are pulled, when the registry checks them.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.pool import NullPool

from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import NotInRegistryError, RegistryError, leaving_out
from snt_zoo.registry.bundle.sketch_file import load_sketches
from snt_zoo.registry.catalog.vectors import embeddings
from snt_zoo.registry.hub.seen import Indexed, RemoteRecord

FILE = "hub.sqlite"
VERSION = 3  # 1 held what was not held to its config, 2 no networks
OWNER_MOST = 4  # supernets of one owner in a shortlist: nobody fills it alone
_SHOWN = 300  # characters of a reason

_LISTS = ("sources", "tags", "source_licences")  # as JSON

_METADATA = sa.MetaData()
Answers = list[tuple[str, float]]  # within the class, `list` is its method
_REPOSITORIES = sa.Table(
    "repositories",
    _METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("repo", sa.Text, primary_key=True),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),  # why it is no supernet that can be ranked; null for one that is
    sa.Column("refused", sa.Boolean, nullable=False),  # for its content, rather than for being something else
    sa.Column("size", sa.Integer, nullable=False),
)
_SYNCED = sa.Table(
    "synced",
    _METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),  # of a Hub that was once seen whole
)
_SUPERNETS = sa.Table(
    "supernets",
    _METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("repo", sa.Text, primary_key=True),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("params", sa.Integer, nullable=False),
    sa.Column("macs", sa.Integer, nullable=False),
    sa.Column("sources", sa.Text, nullable=False),  # JSON
    sa.Column("tags", sa.Text, nullable=False),  # JSON
    sa.Column("licence", sa.Text, nullable=False),
    sa.Column("source_licences", sa.Text, nullable=False),  # JSON
    sa.Column("network", sa.Text, nullable=False),  # JSON
    sa.Column("genotype", sa.Text, nullable=False),  # JSON
    sa.Column("backbone", sa.Text, nullable=False),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("sketches", sa.LargeBinary, nullable=False),  # the file
    sa.Column("vectors", sa.LargeBinary, nullable=False),  # float32, little-endian, one row for each sketch
)


class HubCache:
    """The cache of one Hub.

    Args:
        home: folder of the registry.
        endpoint: of the Hub; what was seen of another is kept, and not shown.
        encoder: makes the vectors, and those of queries.
    """

    def __init__(self, home: Path, *, endpoint: str, encoder: DatasetEncoder) -> None:
        self.path = home / FILE
        self._endpoint = endpoint
        self.encoder = encoder
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(self.path)),
            poolclass=NullPool,
            connect_args={"timeout": 30.0},
        )

    def is_there(self) -> bool:
        """Whether a sync of this Hub ever came to its end, by a release whose cache this one reads."""
        if not self.path.is_file():
            return False
        here = [sa.select(table.c.endpoint).where(self._here(table)) for table in (_SYNCED, _REPOSITORIES)]
        with self._transaction() as connection:
            if connection.exec_driver_sql("PRAGMA user_version").scalar() != VERSION:
                return False
            there = set(sa.inspect(connection).get_table_names())
            return any(
                table.name in there and connection.execute(query.limit(1)).first() is not None
                for table, query in zip((_SYNCED, _REPOSITORIES), here, strict=True)
            )

    # ---- what a sync needs ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the tables; a file that cannot be used is a cache that is lost, and made anew."""
        try:
            with self._transaction() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar()
                if version == VERSION:
                    connection.execute(sa.select(_REPOSITORIES.c.repo).limit(1)).all()
                    _METADATA.create_all(connection)  # a table that came later
                    return
        except RegistryError:
            pass
        try:
            for suffix in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise RegistryError(f"{self.path} cannot be made anew: {error.strerror}; delete it") from error
        with self._transaction() as connection:
            _METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def commits(self) -> dict[str, str]:
        """The commit at which each repository was seen."""
        query = sa.select(_REPOSITORIES.c.repo, _REPOSITORIES.c.commit).where(self._here(_REPOSITORIES))
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def put(self, found: Iterable[Indexed]) -> None:
        """Put these in the place of what was seen of the same repositories, in one transaction."""
        kept = {one.repo: one for one in found}
        repositories = [
            {
                "endpoint": self._endpoint,
                "repo": one.repo,
                "commit": one.commit,
                "reason": None if one.reason is None else one.reason[:_SHOWN],
                "refused": one.refused,
                "size": one.size,
            }
            for one in kept.values()
        ]
        supernets = [
            self._row(one, one.record, one.vectors)
            for one in kept.values()
            if one.record is not None and one.vectors is not None
        ]
        with self._transaction() as connection:
            self._delete(connection, list(kept))
            for table, rows in ((_REPOSITORIES, repositories), (_SUPERNETS, supernets)):
                if rows:
                    connection.execute(table.insert(), rows)

    def note_synced(self) -> None:
        """Note that the Hub was seen."""
        with self._transaction() as connection:
            connection.execute(_SYNCED.insert().prefix_with("OR IGNORE").values(endpoint=self._endpoint))

    def remove(self, repos: Sequence[str]) -> None:
        """Forget repositories."""
        with self._transaction() as connection:
            self._delete(connection, repos)

    def embed_anew(self) -> None:
        """Make the vectors of an earlier encoder anew, from the sketches that are kept."""
        table = _SUPERNETS
        stale = table.c.encoder != self.encoder.id
        query = sa.select(table.c.endpoint, table.c.repo, table.c.sketches, table.c.backbone).where(stale)
        with self._transaction() as connection:
            for endpoint, repo, raw, backbone in connection.execute(query).all():
                with leaving_out(f"{repo} on the Hub"):
                    vectors = embeddings(load_sketches(raw, backbone=backbone), self.encoder)
                    connection.execute(
                        table.update()
                        .where(table.c.endpoint == endpoint, table.c.repo == repo)
                        .values(encoder=self.encoder.id, vectors=vectors.astype("<f4").tobytes())
                    )

    def refused(self) -> list[tuple[str, str]]:
        """Repositories that were refused for their content, and why."""
        table = _REPOSITORIES
        query = sa.select(table.c.repo, table.c.reason).where(self._here(table), table.c.refused)
        with self._transaction() as connection:
            return [(repo, reason or "") for repo, reason in connection.execute(query.order_by(table.c.repo))]

    # ---- what a query needs ---------------------------------------------------------------------

    def list(self) -> list[RemoteRecord]:
        """The supernets on the Hub, by repository; the same content in several is listed once."""
        table = _SUPERNETS.c
        columns = [table[field.name] for field in fields(RemoteRecord)]
        with self._transaction() as connection:
            rows = connection.execute(
                sa.select(*columns).where(self._here(_SUPERNETS)).order_by(table.repo)
            ).all()
        records: dict[str, RemoteRecord] = {}
        for row in rows:
            with leaving_out(f"{row.repo} on the Hub"):
                # By the whole digest: an id has 32 bits of it, which somebody can have made to be alike.
                records.setdefault(row.digest, _record(row))
        return [*records.values()]

    def count(self) -> int:
        """How many there are, as of `list`."""
        query = sa.select(sa.func.count(sa.distinct(_SUPERNETS.c.digest))).where(self._here(_SUPERNETS))
        with self._transaction() as connection:
            return int(connection.scalar(query) or 0)

    def search(self, sketch: Sketch, k: int, *, allowed: AbstractSet[str] | None = None) -> Answers:
        """The supernets whose best sketch is nearest; as `Registry.search`, but by their digests.

        Those of another backbone or encoder cannot be compared and are left out, and so are those of an owner
        of whom four are nearer.
        """
        (query,) = embeddings([sketch], self.encoder)
        owners, vectors = self._vectors(sketch.backbone, len(query), allowed)
        best: dict[str, float] = {}
        of_owner: Counter[str] = Counter()
        if owners:
            scores = vectors @ query
            for row in np.argsort(-scores, kind="stable").tolist():
                repo, digest = owners[row]
                owner = repo.partition("/")[0]
                if digest in best or of_owner[owner] == OWNER_MOST:
                    continue
                best[digest] = min(1.0, max(-1.0, float(scores[row])))
                of_owner[owner] += 1
                if len(best) == k:
                    break
        return sorted(best.items(), key=lambda answer: (-answer[1], answer[0]))

    def sketches(self, digest: str) -> tuple[Sketch, ...]:
        """The sketches of a supernet; raises `NotInRegistryError` if a sync removed it meanwhile."""
        table = _SUPERNETS.c
        query = sa.select(table.sketches, table.backbone).where(
            self._here(_SUPERNETS), table.digest == digest
        )
        with self._transaction() as connection:
            row = connection.execute(query.order_by(table.repo).limit(1)).first()
        if row is None:
            raise NotInRegistryError(f"no supernet {digest!r} was seen on the Hub: run `snt-zoo sync`")
        return load_sketches(row[0], backbone=row[1])

    def find(self, id: str) -> RemoteRecord | None:
        """The supernet of exactly that id, or of that beginning if it fits one alone."""
        records = self.list() if self.is_there() else []
        found = [r for r in records if r.id == id] or [r for r in records if id and r.id.startswith(id)]
        return found[0] if len(found) == 1 else None

    # ---- inside ---------------------------------------------------------------------------------

    def _vectors(
        self, backbone: str, dim: int, allowed: AbstractSet[str] | None
    ) -> tuple[Sequence[tuple[str, str]], NDArray[np.float32]]:
        """Every vector that compares, and the repository and the digest that it is of."""
        table = _SUPERNETS.c
        query = sa.select(table.repo, table.digest, table.vectors).where(
            self._here(_SUPERNETS), table.backbone == backbone, table.encoder == self.encoder.id
        )
        owners: list[tuple[str, str]] = []
        parts: list[bytes] = []
        with self._transaction() as connection:
            for repo, digest, data in connection.execute(query.order_by(table.repo)):
                if len(data) % (4 * dim) == 0 and (allowed is None or digest in allowed):
                    owners += [(repo, digest)] * (len(data) // (4 * dim))
                    parts.append(data)
        vectors = np.frombuffer(b"".join(parts), dtype="<f4").astype(np.float32)
        return owners, vectors.reshape(-1, dim)

    def _row(self, one: Indexed, record: RemoteRecord, vectors: NDArray[np.float32]) -> dict[str, object]:
        return {
            **vars(record),
            **{name: json.dumps(getattr(record, name)) for name in _LISTS},
            "endpoint": self._endpoint,
            "backbone": one.backbone,
            "encoder": self.encoder.id,
            "sketches": one.sketches,
            "vectors": vectors.astype("<f4").tobytes(),
        }

    def _delete(self, connection: sa.Connection, repos: Sequence[str]) -> None:
        for table in (_REPOSITORIES, _SUPERNETS):
            statement = table.delete().where(self._here(table), table.c.repo == sa.bindparam("gone"))
            if repos:
                connection.execute(statement, [{"gone": repo} for repo in repos])

    def _here(self, table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.endpoint == self._endpoint

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise RegistryError(
                f"the cache {self.path} cannot be used: {error.orig}; delete it and run `snt-zoo sync`"
            ) from error


def _record(row: sa.Row[Any]) -> RemoteRecord:
    try:
        lists = {name: tuple(json.loads(row._mapping[name])) for name in _LISTS}
    except (ValueError, TypeError) as error:
        raise RegistryError(
            f"what was kept of it cannot be read: run `snt-zoo sync` anew ({error})"
        ) from error
    return RemoteRecord(**{**row._mapping, **lists})
