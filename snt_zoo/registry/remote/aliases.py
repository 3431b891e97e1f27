"""The aliases of a service."""

from __future__ import annotations

from snt_zoo.registry.catalog.aliases import Alias, Aliases, AliasMove
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.remote import documents
from snt_zoo.registry.remote.client import Client


class RemoteAliases(Aliases):
    """As `Aliases`; who moves one is the holder of the token.

    Args:
        database: of the cache; it is not asked.
        client: of the service.
    """

    def __init__(self, database: Database, client: Client) -> None:
        super().__init__(database)
        self._client = client

    def move(self, alias: str, id: str, *, why: str = "", by: str | None = None) -> Alias:
        """See `Aliases.move`."""
        name = id.rpartition("-")[0]
        raw = self._client.send("PUT", "aliases", name, alias, document={"id": id, "why": why})
        return documents.AliasDocument.model_validate_json(raw).value()

    def drop(self, name: str, alias: str, *, why: str = "", by: str | None = None) -> None:
        """See `Aliases.drop`."""
        self._client.send("DELETE", "aliases", name, alias, query=[("why", why)])

    def all(self, name: str | None = None) -> list[Alias]:
        """See `Aliases.all`."""
        return [one.value() for one in self._ask(name, None, history=False).aliases]

    def history(self, name: str | None = None, alias: str | None = None) -> list[AliasMove]:
        """See `Aliases.history`."""
        return [one.value() for one in self._ask(name, alias, history=True).history]

    def _ask(self, name: str | None, alias: str | None, *, history: bool) -> documents.Aliases:
        given = {"name": name, "alias": alias, "history": "true" if history else None}
        query = [(key, value) for key, value in given.items() if value is not None]
        return documents.Aliases.model_validate_json(self._client.get("aliases", query=query))
