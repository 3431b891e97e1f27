"""Registries of tiny bundles, zoos of them, and clients of a service without and with tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snt_zoo.registry import Registry
from snt_zoo.service.app import create_app
from snt_zoo.service.settings import Settings
from snt_zoo.zoo import Zoo
from tests.registry.making import copy_home, make_bundle
from tests.service.making import GUARDED


@pytest.fixture(scope="session")
def _served_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    registry = Registry.open(folder / "home")
    for seed, name in ((1, "letters"), (2, "leaves"), (3, "shapes")):
        registry.add(make_bundle(folder / name, seed=seed, name=name))
    return registry.home


@pytest.fixture
def zoo(_served_home: Path, tmp_path: Path) -> Zoo:
    """A zoo of three supernets: `leaves`, `letters`, `shapes`."""
    return Zoo(Registry.open(copy_home(_served_home, tmp_path / "home")))


@pytest.fixture
def client(zoo: Zoo) -> Iterator[TestClient]:
    """Asks a service without tokens."""
    with TestClient(create_app(zoo, Settings(threads=2)), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def guarded(zoo: Zoo) -> Iterator[TestClient]:
    """Asks a service with a token of each role."""
    with TestClient(create_app(zoo, GUARDED), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The starter zoo that ships; not to be changed."""
    return Zoo.open(tmp_path_factory.mktemp("starter"))
