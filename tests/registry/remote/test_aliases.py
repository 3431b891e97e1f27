from __future__ import annotations

import pytest

from snt_zoo.errors import AliasError, NotInRegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.remote.registry import RemoteRegistry


def test_all_of_them_and_their_trail(registry: Registry, remote: RemoteRegistry) -> None:
    id = registry.resolve("leaves")
    registry.aliases.move("best", id)
    for name in (None, "leaves", "lettres"):
        assert remote.aliases.all(name) == registry.aliases.all(name)
        assert remote.aliases.history(name) == registry.aliases.history(name)


def test_what_is_no_alias_is_refused_as_it_would_be_here(registry: Registry, remote: RemoteRegistry) -> None:
    with pytest.raises(AliasError):
        remote.aliases.move("0123abcd", registry.resolve("leaves"))
    with pytest.raises(AliasError):
        remote.aliases.move("best", registry.resolve("leaves"), why="two\nlines")
    with pytest.raises(NotInRegistryError):
        remote.aliases.move("best", "leaves-00000000")
    assert remote.aliases.all() == registry.aliases.all()
