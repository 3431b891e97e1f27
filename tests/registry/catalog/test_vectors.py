"""Vectors of different makers are never compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.errors import IndexMismatchError, RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.vectors import Maker
from tests.registry.making import BACKBONE, make_bundle, sketch, snapshot


def test_vectors_of_another_maker_are_refused(tmp_path: Path, registry: Registry) -> None:
    before = snapshot(registry)
    other = make_bundle(tmp_path / "a", backbone="big/p", sketches=[sketch(backbone="big/p")])
    with pytest.raises(IndexMismatchError, match=r"`--backbone tiny`"):
        registry.add(other)
    with pytest.raises(IndexMismatchError, match="--backbone tiny"):
        registry.search(sketch(backbone="big/p"), 1)
    plain = make_bundle(tmp_path / "b", encoder="another")  # what an author's registry had does not matter
    for encoder in (replace(MOMENTS, id="other"), replace(MOMENTS, embed=lambda s: s.means.mean(0))):
        opened = Registry.open(registry.home, encoder=encoder)
        with pytest.raises(IndexMismatchError, match=r"with 128 numbers.*rebuild_index\(from_bundles"):
            opened.add(plain)
        with pytest.raises(IndexMismatchError, match="rebuild_index"):
            opened.search(sketch(), 1)
    assert snapshot(registry) == before
    assert registry.maker == Maker(BACKBONE, MOMENTS.id, 128)

    for record in registry.list():  # an empty registry takes any maker
        registry.remove(record.id)
    assert registry.maker is None
    assert registry.add(other).backbone == "big/p"


def test_a_search_without_sense_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="k must be at least 1"):
        registry.search(sketch(), 0)
    broken = Registry.open(registry.home, encoder=replace(MOMENTS, embed=lambda _: torch.zeros(128)))
    with pytest.raises(RegistryError, match="must be a finite vector"):
        broken.search(sketch(), 1)
