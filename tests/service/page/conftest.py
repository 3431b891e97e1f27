"""The registry of the room `registry`, and clients of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snt_zoo.registry import Registry
from snt_zoo.service.app import create_app
from snt_zoo.service.settings import Settings
from snt_zoo.zoo import Zoo
from tests.registry.conftest import _good, _home, good, registry, shapes  # noqa: F401  # fixtures
from tests.service.page.making import hostile_bundle

Clients = Callable[..., TestClient]


@pytest.fixture
def client(registry: Registry) -> Iterator[Clients]:  # noqa: F811
    """Makes clients of a service; by default of a small registry, without tokens."""
    opened: list[TestClient] = []

    def make(zoo: Zoo | None = None, **settings: object) -> TestClient:
        app = create_app(zoo or Zoo(registry), Settings(**settings))  # type: ignore[arg-type]
        opened.append(TestClient(app, base_url="http://localhost").__enter__())
        return opened[-1]

    yield make
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture
def hostile(registry: Registry, tmp_path: Path) -> str:  # noqa: F811
    """Id of a bundle whose texts are markup."""
    return registry.add(hostile_bundle(tmp_path / "hostile")).id
