"""Opens a registry wherever it is: in a folder, or at a URL."""

from __future__ import annotations

from pathlib import Path

from snt_zoo.registry.registry import Registry
from snt_zoo.registry.remote.client import is_url
from snt_zoo.registry.starter import open_registry as open_folder


def open_registry(home: str | Path | None = None, *, starter: bool = True) -> Registry:
    """The registry of a folder, or of a service.

    Args:
        home: as of `starter.open_registry`; or the URL of a service, which is asked when it is needed.
        starter: as there; what a service holds is its own.
    """
    if isinstance(home, str) and is_url(home):
        # It reads bundles, and loads torch; a command that reads the catalog of a folder does not.
        from snt_zoo.registry.remote.registry import RemoteRegistry

        return RemoteRegistry.at(home)
    return open_folder(home, starter=starter)
