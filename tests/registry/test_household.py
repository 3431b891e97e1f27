"""What is shown and read is what is meant, and whole."""

from __future__ import annotations

import shutil

import pytest

from snt_zoo.errors import IntegrityError, MissingFileError, NotInRegistryError
from snt_zoo.registry import Registry, read_bundle
from tests.registry.making import edit_config


def test_show_takes_whole_ids_and_says_which(registry: Registry) -> None:
    id = registry.resolve("leaves")
    with pytest.raises(NotInRegistryError, match=f"did you mean {id}"):
        registry.show("leaves")
    with pytest.raises(NotInRegistryError, match="did you mean leaves"):
        registry.get("leafs")


def test_damage_in_the_store_is_found(registry: Registry) -> None:
    one, two = registry.list()
    raw = bytearray((one.path / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (one.path / "model.safetensors").write_bytes(raw)
    with pytest.raises(IntegrityError, match=rf"{one.id}: model\.safetensors"):
        registry.get(one.id)
    shutil.rmtree(two.path)
    for call in (registry.get, registry.sketches):
        with pytest.raises(MissingFileError):
            call(two.id)
    registry.remove(two.id)
    registry.remove(one.id)
    assert registry.list() == []


def test_a_bundle_put_in_the_place_of_another_is_found(registry: Registry) -> None:
    one = registry.list()[0]
    edit_config(one.path, lambda data: data.update(description="exchanged"))
    assert read_bundle(one.path).config.description == "exchanged"  # a good bundle, and not that one
    for call in (registry.get, registry.sketches):
        with pytest.raises(IntegrityError, match=r"manifest\.json.*add it again"):
            call(one.id)
