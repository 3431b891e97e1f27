"""Changes of the catalog."""

from __future__ import annotations

from snt_zoo.registry import Registry


def test_tags_are_added_and_removed_here_alone(registry: Registry) -> None:
    id = registry.resolve("leaves")
    digest = registry.show(id).digest
    assert registry.tag(id, add=["green", "x", "green"]).tags == ("tiny", "green", "x")
    assert registry.tag(id, remove=["tiny", "not-there"]).tags == ("green", "x")
    assert [r.name for r in registry.list(tag="green")] == ["leaves"]
    assert [r.name for r in registry.list(tag="tiny")] == ["letters"]
    assert registry.get(id).config.tags == ("tiny",) and registry.show(id).digest == digest
    registry.rebuild_index(from_bundles=True)
    assert registry.show(id).tags == ("green", "x")
    assert registry.show(id).aliases == ("latest",)
