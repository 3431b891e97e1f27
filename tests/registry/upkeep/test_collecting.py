"""Files that are kept once, gc, the limit, and bundles as folders of one's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from snt_zoo.errors import BundleError, IntegrityError, RegistryError, StoreFullError
from snt_zoo.registry import Registry, read_bundle
from tests.registry.making import make_bundle, network, snapshot
from tests.registry.upkeep.test_verification import damage


def blobs(registry: Registry) -> dict[str, Path]:
    return {path.name: path for path in registry._store.blobs.all()}


@pytest.fixture
def twins(tmp_path: Path, registry: Registry) -> list[str]:
    """Two versions that share their weights and sketches, and differ in their texts."""
    net = network(seed=4)
    texts = ("one text", "another")
    folders = [make_bundle(tmp_path / t[:3], net=net, description=t, name="twin") for t in texts]
    return [registry.add(folder).id for folder in folders]


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


def test_gc_deletes_what_nothing_needs_and_a_dry_run_says_so(registry: Registry, twins: list[str]) -> None:
    before = snapshot(registry)
    stray = registry._store.blobs.path("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x" * 1000)
    leftover = registry.home / "incoming" / "0123.tmp"
    leftover.mkdir()
    (leftover / "config.json").write_bytes(b"y" * 100)
    copied = registry.show(twins[0]).path / "README.md"  # as a copy of a home without links has it
    raw = copied.read_bytes()
    copied.unlink()
    copied.write_bytes(raw)

    plan = registry.gc(dry_run=True)
    assert (plan.blobs, plan.temporary, plan.shared) == (("ab" * 32,), ("0123.tmp",), 1)
    assert plan.bytes == 1000 + 100 + len(raw)
    assert stray.exists() and leftover.exists() and copied.stat().st_nlink == 1
    done = registry.gc()
    assert done.to_json() | {"dry_run": True} == plan.to_json()
    assert not stray.exists() and not leftover.exists() and copied.stat().st_nlink == 2
    assert snapshot(registry) == before
    again = registry.gc()
    assert (again.blobs, again.temporary, again.shared, again.bytes) == ((), (), 0, 0)


def test_gc_survives_missing_and_damaged_files(registry: Registry, twins: list[str]) -> None:
    shutil.rmtree(registry.show(twins[0]).path)
    (registry.show(registry.resolve("leaves")).path / "manifest.json").unlink()
    needed = set(blobs(registry))
    assert registry.gc().blobs == ()  # the catalog knows what they need
    assert set(blobs(registry)) == needed
    assert registry.verify(repair=True).ok
    assert len(registry.list()) == 4
    shutil.rmtree(registry.home / "blobs")
    assert registry.gc().blobs == ()
    assert len(blobs(registry)) == len(needed)  # made again from the bundles


def test_a_copied_home_shares_again(registry: Registry, twins: list[str], tmp_path: Path) -> None:
    copy = Registry.open(shutil.copytree(registry.home, tmp_path / "copy"))
    assert copy.verify().ok
    assert copy.gc().shared == 20
    assert copy.gc().bytes == 0
    assert all(path.stat().st_nlink >= 2 for record in copy.list() for path in record.path.iterdir())


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
