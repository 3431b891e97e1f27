"""What is still good is used, and nothing is lost by a repair."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snt_zoo.errors import MissingFileError
from snt_zoo.registry import Registry
from tests.registry.making import damage, execute, kinds, make_bundle, sketch, snapshot, swap


@pytest.mark.parametrize(
    "name", ["README.md", "config.json", "dataset.safetensors", "manifest.json", "model.safetensors"]
)
@pytest.mark.parametrize("how", [swap, Path.unlink, damage])
def test_a_damaged_file_is_taken_from_its_blob_or_the_bundle_set_aside(
    registry: Registry, shapes: str, name: str, how: Callable[[Path], None]
) -> None:
    record = registry.show(shapes)
    raw = (record.path / name).read_bytes()
    how(record.path / name)
    found = registry.verify()
    assert not found.ok and {p.where for p in found.problems if p.kind == "files"} == {shapes}
    assert [r.id for r in registry.list()] == sorted(r.id for r in registry.list())  # nothing was changed
    mended = registry.verify(repair=True)
    assert mended.ok and all(problem.repaired for problem in mended.problems)
    assert registry.verify().problems == ()
    if how is damage:  # nowhere is a good one
        assert shapes not in [r.id for r in registry.list()]
        (kept,) = (registry.home / "quarantine").iterdir()
        assert kept.name.startswith(shapes)
        assert registry.aliases.history("shapes", "best")[-1].why == f"{shapes} was removed"
        assert not registry._store.blobs.path(hashlib.sha256(raw).hexdigest()).exists()
    else:
        assert (record.path / name).read_bytes() == raw
        assert registry.show(shapes) == record and registry.get(shapes).digest == record.digest


def test_a_folder_that_is_gone_with_its_blobs_loses_its_row_alone(registry: Registry, shapes: str) -> None:
    shutil.rmtree(registry.show(shapes).path)
    shutil.rmtree(registry.home / "blobs")
    assert registry.verify(repair=True).ok
    assert sorted(r.name for r in registry.list()) == ["leaves", "letters"]
    assert registry.verify().problems == ()
    assert [m.why for m in registry.aliases.history("shapes")][-1] == f"{shapes} was removed"


def test_an_unlisted_bundle_of_another_backbone_is_not_listed(registry: Registry) -> None:
    other = make_bundle(
        registry.home / "bundles" / "x", backbone="big/p", sketches=[sketch(backbone="big/p")], name="other"
    )
    from snt_zoo.registry import read_bundle

    other.rename(other.with_name(read_bundle(other).id))
    found = registry.verify(repair=True)
    assert [problem.kind for problem in found.problems] == ["unlisted"] and not found.ok
    assert len(registry.list()) == 2


def test_rows_that_belong_to_nothing(registry: Registry) -> None:
    execute(registry, "INSERT INTO tags VALUES ('nobody-00000000', 'x')")
    found = registry.verify()
    assert [p.kind for p in found.problems] == ["catalog"]
    assert registry.verify(repair=True).ok
    assert registry.verify().problems == ()


def test_a_folder_that_is_gone_is_put_together_from_blobs(registry: Registry, shapes: str) -> None:
    before = snapshot(registry)
    shutil.rmtree(registry.show(shapes).path)
    with pytest.raises(MissingFileError):
        registry.get(shapes)
    assert kinds(registry) == {"files"}
    assert registry.verify(shapes, repair=True).ok
    after = snapshot(registry)
    for part in ("files", "rows", "list", "search"):
        assert after[part] == before[part]
