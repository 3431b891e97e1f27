"""A service on a socket, and a registry at its URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snt_zoo.registry import Registry
from snt_zoo.registry.remote.registry import RemoteRegistry
from snt_zoo.service.app import create_app
from snt_zoo.zoo import Zoo
from tests.service.making import GUARDED, WRITE, listening


@pytest.fixture
def url(registry: Registry) -> Iterator[str]:
    """Of a service of `registry`, with tokens."""
    with listening(create_app(Zoo(registry), GUARDED)) as url:
        yield url


@pytest.fixture
def remote(url: str, tmp_path: Path) -> RemoteRegistry:
    """The registry at that URL, for who may write; its cache is empty."""
    return RemoteRegistry.at(url, token=WRITE, cache=tmp_path / "cache")
