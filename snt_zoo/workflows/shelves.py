"""Where supernets are: what every workflow is given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from snt_zoo.errors import HubError, NotInRegistryError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.registry import Registry


class Shelves(Protocol):
    """A registry, here or at a URL, and the Hub that its supernets come from and go to; `Zoo` is one."""

    @property
    def registry(self) -> Registry:
        """The user's."""

    @property
    def hub(self) -> HubClient:
        """The Hub that is asked."""


def cache_of(zoo: Shelves) -> HubCache:
    """What is kept of the Hub."""
    return HubCache(zoo.registry.home, endpoint=zoo.hub.place, encoder=zoo.registry.encoder)


def seen_on_hub(zoo: Shelves) -> HubCache:
    """What the last sync saw of the Hub.

    Raises:
        HubError: nothing is known of it yet.
    """
    cache = cache_of(zoo)
    if not cache.is_there():
        raise HubError("nothing is known of the Hub yet: run `snt-zoo sync` once, or leave out --hub")
    cache.embed_anew()
    return cache


def check_excluded(zoo: Shelves, exclude: Collection[str], hub: HubCache | None) -> None:
    """A misspelt word would leave in what was to be left out, and nobody would see it.

    Raises:
        NotInRegistryError: a word fits no supernet.
    """
    seen = hub.list() if exclude and hub is not None else []
    for word in exclude:
        if not zoo.registry.knows(word) and all(Filter(exclude=(word,)).fits(one) for one in seen):
            raise NotInRegistryError(
                f"nothing to exclude: {word!r} is no tag, name or id in the registry; see `snt-zoo list`"
            )
