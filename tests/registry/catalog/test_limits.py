"""A limit, and what to remove where it is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import RegistryError, StoreFullError
from snt_zoo.registry import Registry
from tests.registry.making import make_bundle, network, snapshot


def test_a_full_registry_names_what_to_remove(tmp_path: Path, registry: Registry, twins: list[str]) -> None:
    leaves, letters = registry.resolve("leaves"), registry.resolve("letters")
    registry.aliases.move("best", leaves)
    used = registry.usage().bytes
    assert registry.set_limit(used).room == 0
    before = snapshot(registry)
    new = make_bundle(tmp_path / "new", seed=11, name="new")
    with pytest.raises(StoreFullError, match=r"may hold .*snt-zoo remove ID.*snt-zoo limit SIZE") as caught:
        registry.add(new)
    named = str(caught.value)
    # The oldest version that neither has an alias nor is the newest of its name.
    assert twins[0] in named and leaves not in named
    assert named.index(twins[0]) < named.index(letters)
    assert snapshot(registry) == before

    # One that shares its weights with others needs little room.
    net = network(seed=4)
    third = make_bundle(tmp_path / "third", net=net, name="twin", description="a third")
    small = sum(p.stat().st_size for p in third.iterdir() if p.suffix in (".json", ".md"))
    registry.set_limit(used + small)
    id = registry.add(third).id
    assert registry.usage().room == 0
    registry.remove(id)

    registry.remove(letters)
    registry.set_limit(used + 2000)
    assert registry.add(new).name == "new"
    assert Registry.open(registry.home).usage().limit == used + 2000
    assert registry.set_limit(None).room is None
    for wrong in (0, -1, 2**63):
        with pytest.raises(RegistryError, match="at least 1 byte"):
            registry.set_limit(wrong)
