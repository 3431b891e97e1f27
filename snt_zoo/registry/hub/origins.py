"""Where the bundles of a registry were pulled from: `origins.json` beside the catalog.

Part of the registry's own record, unlike the cache of a sync: it is written whole, under a lock, and put in
place by one rename. A bundle that is removed keeps its line, since the same content has the same id.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from snt_zoo.errors import ConfigError, RegistryError
from snt_zoo.formats.durable import write_file
from snt_zoo.formats.strict_json import dump_json, parse_json
from snt_zoo.registry.hub.refs import is_commit, is_repo

FILE = "origins.json"
_LIMIT = 100_000_000
_FIELDS = {"endpoint", "repo", "commit", "revision", "pulled_at"}


@dataclass(frozen=True)
class Origin:
    """A bundle's place on a Hub.

    Args:
        endpoint: of the Hub, without credentials.
        repo: ``owner/name``.
        commit: that was pulled.
        revision: that was asked for; None for the main branch.
        pulled_at: when, ISO 8601, UTC.
    """

    endpoint: str
    repo: str
    commit: str
    revision: str | None
    pulled_at: str

    @classmethod
    def now(cls, endpoint: str, repo: str, commit: str, revision: str | None) -> Origin:
        """An origin with the present time."""
        return cls(endpoint, repo, commit, revision, datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Origins:
    """The origins of a registry's bundles."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / FILE

    def get(self, id: str) -> Origin | None:
        """Where a bundle came from; None if it was not pulled."""
        return self._read().get(id)

    def all(self) -> dict[str, Origin]:
        """The origins by id; of bundles that were removed as well."""
        return self._read()

    def put(self, id: str, origin: Origin) -> None:
        """Note where a bundle came from."""
        try:
            with FileLock(self._home / f"{FILE}.lock"):
                entries = self._read() | {id: origin}
                write_file(self._path, dump_json({key: entry.to_json() for key, entry in entries.items()}))
        except OSError as error:
            raise RegistryError(f"cannot write {self._path}: {error.strerror}; free some space") from error

    def _read(self) -> dict[str, Origin]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            data = parse_json(raw, what=FILE, limit=_LIMIT)
            if not all(isinstance(entry, dict) and set(entry) == _FIELDS for entry in data.values()):
                raise ConfigError("an entry has other fields than this snt-zoo writes")
            found = {id: Origin(**entry) for id, entry in data.items()}
            if not all(is_repo(str(one.repo)) and is_commit(str(one.commit)) for one in found.values()):
                raise ConfigError(f"an entry names no commit of a repository: {json.dumps(data)[:80]}")
        except ConfigError as error:
            raise RegistryError(
                f"{self._path} cannot be read ({error}): move it away; all that is lost is where bundles "
                "were pulled from"
            ) from error
        return found
