"""Good bundles and registries, made once and copied for each test; a hub, clients and zoos that use it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snt_zoo.registry import Record, Registry
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.zoo import Zoo
from tests.registry.earlier import OLD
from tests.registry.hub.repositories import OTHER_TOKEN, TOKEN, repository
from tests.registry.hub.server import serving
from tests.registry.hub.state import Hub
from tests.registry.making import copy_home, make_bundle, network


@pytest.fixture(scope="session")
def _good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("good") / "shapes")


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    registry = Registry.open(folder / "home")
    for seed, name in ((1, "letters"), (2, "leaves")):
        registry.add(make_bundle(folder / name, seed=seed, name=name))
    return registry.home


@pytest.fixture
def good(_good: Path, tmp_path: Path) -> Path:
    """The folder of a bundle that is in no registry."""
    return shutil.copytree(_good, tmp_path / "shapes")


@pytest.fixture
def registry(_home: Path, tmp_path: Path) -> Registry:
    """A registry with the bundles `letters` and `leaves`."""
    return Registry.open(copy_home(_home, tmp_path / "home"))


@pytest.fixture
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token and no cache of this machine is used, and no Xet, which the tests' hub does not speak."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(_apart: None) -> Iterator[Hub]:
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


@pytest.fixture
def shapes(good: Path, registry: Registry) -> str:
    """Id of a third bundle in the registry, with tags and an alias."""
    id = registry.add(good, tags=["mine"]).id
    registry.aliases.move("best", id, by="ann", why="it is")
    return id


@pytest.fixture
def twins(tmp_path: Path, registry: Registry) -> list[str]:
    """Two versions that share their weights and sketches, and differ in their texts."""
    net = network(seed=4)
    texts = ("one text", "another")
    folders = [make_bundle(tmp_path / t[:3], net=net, description=t, name="twin") for t in texts]
    return [registry.add(folder).id for folder in folders]


@pytest.fixture
def starters(tmp_path: Path) -> list[Path]:
    return [make_bundle(tmp_path / f"s{i}", seed=i, name=f"starter-{i}") for i in (5, 6, 7)]


@pytest.fixture
def versions(tmp_path: Path, registry: Registry) -> list[Record]:
    """Three versions of `shapes`, in the order in which they were added."""
    return [registry.add(make_bundle(tmp_path / f"v{seed}", seed=seed, name="shapes")) for seed in (5, 6, 7)]


@pytest.fixture
def stocked(hub: Hub, tmp_path: Path) -> Hub:
    """A hub with four supernets."""
    for seed in range(4):
        hub.seed(f"alice/s{seed}", repository(tmp_path / "made", seed))
    return hub


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home that an earlier snt-zoo wrote."""
    home = tmp_path / "home"
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(home)
    return home
