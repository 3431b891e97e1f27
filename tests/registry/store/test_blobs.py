"""Equal files are kept once, as links to a blob."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.errors import IntegrityError
from snt_zoo.registry import Registry
from tests.registry.making import blobs, damage, make_bundle, network


def test_equal_files_are_kept_once(registry: Registry, twins: list[str]) -> None:
    one, two = (registry.show(id).path for id in twins)
    for name, same in (("model.safetensors", True), ("dataset.safetensors", True), ("config.json", False)):
        assert (one / name).samefile(two / name) == same
    used = sum(path.stat().st_size for path in blobs(registry).values())
    assert registry.usage().bytes == used < sum(record.size for record in registry.list())
    for record in registry.list():
        for path in record.path.iterdir():
            assert any(path.samefile(blob) for blob in blobs(registry).values())
    inodes = {
        p.stat().st_ino for p in registry.home.rglob("*") if p.is_file() and p.parent.name != "incoming"
    }
    assert len(inodes) <= len(blobs(registry)) + 4  # and the lock and the database's files


def test_files_of_the_store_are_read_only(registry: Registry) -> None:
    for path in registry.list()[0].path.iterdir():
        assert path.stat().st_mode & 0o222 == 0


def test_removing_one_version_leaves_what_the_other_needs(registry: Registry, twins: list[str]) -> None:
    registry.remove(twins[0])
    assert registry.get(twins[1]).id == twins[1]
    assert registry.verify().ok
    count = len(blobs(registry))
    registry.remove(twins[1])
    assert len(blobs(registry)) == count - 5
    assert registry.gc().blobs == ()


def test_a_damaged_blob_does_not_spoil_the_next_bundle(tmp_path: Path, registry: Registry) -> None:
    net = network(seed=4)
    first = registry.add(make_bundle(tmp_path / "a", net=net, name="twin"))
    damage(first.path / "model.safetensors")
    second = registry.add(make_bundle(tmp_path / "b", net=net, name="twin", description="x"))
    assert registry.get(second.id).id == second.id
    with pytest.raises(IntegrityError):
        registry.get(first.id)
    assert registry.verify(repair=True).ok  # and the good blob mends the first
    assert registry.get(first.id).id == first.id


def test_without_hard_links_nothing_is_shared_and_all_works(
    good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    record = registry.add(good)
    assert registry.get(record.id).id == record.id
    assert all(path.stat().st_nlink == 1 for path in record.path.iterdir())
    assert registry.verify().ok
    assert registry.gc(dry_run=True).shared == registry.gc().shared == 0
    assert registry.get(record.id).id == record.id
    registry.remove(record.id)
    assert registry.verify().ok
