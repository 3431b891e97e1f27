"""A hub of its own for each test, clients that know nothing of this machine's, and registries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snt_zoo.registry import Registry
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.zoo import Zoo

from .server import serving
from .state import Hub

TOKEN = "hf_canaryAliceSecret0123456789"
OTHER_TOKEN = "hf_canaryBobSecret0123456789"


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token and no cache of this machine is used, and no Xet, which the tests' hub does not speak."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A server on loopback, with the users alice and bob."""
    made = Hub(users={TOKEN: "alice", OTHER_TOKEN: "bob"})
    with serving(made):
        yield made


Clients = Callable[..., HubClient]
Zoos = Callable[..., Zoo]


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Clients:
    """Makes clients, by default alice's; each name of a machine has a cache of its own."""

    def make(token: str | None = TOKEN, *, machine: str = "here") -> HubClient:
        return HubClient(endpoint=hub.url, token=token, cache=tmp_path / machine / "hub")

    return make


@pytest.fixture
def zoo(client: Clients, tmp_path: Path) -> Zoos:
    """Makes zoos without a starter zoo; the same machine has the same registry and cache."""

    def make(token: str | None = TOKEN, *, machine: str = "here") -> Zoo:
        return Zoo(Registry.open(tmp_path / machine / "home"), hub=client(token, machine=machine))

    return make


@pytest.fixture
def uploaded(good: Path) -> dict[str, bytes]:
    """The files of a good repository, as a push lays them out."""
    files = {path.name: path.read_bytes() for path in good.iterdir()}
    return files | {"card.md": files["README.md"]}
