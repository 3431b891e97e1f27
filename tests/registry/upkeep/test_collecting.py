"""What `gc` gives back, and what it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

from snt_zoo.registry import Registry
from tests.registry.making import blobs, snapshot


def test_gc_deletes_what_nothing_needs_and_a_dry_run_says_so(registry: Registry, twins: list[str]) -> None:
    before = snapshot(registry)
    stray = registry._store.blobs.path("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x" * 1000)
    leftover = registry.home / "incoming" / ("0123" * 8 + ".tmp")
    leftover.mkdir()
    (leftover / "config.json").write_bytes(b"y" * 100)
    copied = registry.show(twins[0]).path / "README.md"  # as a copy of a home without links has it
    raw = copied.read_bytes()
    copied.unlink()
    copied.write_bytes(raw)

    plan = registry.gc(dry_run=True)
    assert (plan.blobs, plan.temporary, plan.shared) == (("ab" * 32,), (leftover.name,), 1)
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
