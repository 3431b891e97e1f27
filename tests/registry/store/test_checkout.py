"""Bundles as folders of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import BundleError, IntegrityError
from snt_zoo.registry import Registry, read_bundle
from tests.registry.making import damage


def test_checkout_gives_a_bundle_that_add_takes(registry: Registry, tmp_path: Path) -> None:
    record = registry.list()[0]
    folder = registry.checkout(record.id, tmp_path / "deep" / "out")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in record.path.iterdir()
    }
    (folder / "README.md").write_text("mine now")  # a copy: the registry's own stays
    assert registry.verify().ok
    other = Registry.open(tmp_path / "other")
    with pytest.raises(IntegrityError):
        other.add(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert other.add(registry.checkout(record.id, empty)).digest == record.digest
    assert read_bundle(empty).id == record.id
    with pytest.raises(BundleError, match="choose another one"):
        registry.checkout(record.id, empty)


def test_checkout_of_a_damaged_bundle_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    record = registry.list()[0]
    damage(record.path / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        registry.checkout(record.id, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []
