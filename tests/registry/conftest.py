"""A good bundle, and a registry with two others, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snt_zoo.registry import Registry
from tests.registry.making import copy_home, make_bundle


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
