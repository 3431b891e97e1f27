from __future__ import annotations

import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from snt_zoo.errors import RegistryError, SntZooWarning
from snt_zoo.registry import Registry
from snt_zoo.registry.backup import back_up
from tests.registry.making import make_bundle, sketch


def restored(file: Path, folder: Path) -> Registry:
    folder.mkdir()
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")
    return Registry.open(folder)


def test_what_is_unpacked_is_the_registry_again(registry: Registry, tmp_path: Path) -> None:
    id = registry.resolve("letters")
    registry.aliases.move("best", id, why="0.9")
    registry.tag(id, add=["seen"])
    done = registry.backup(tmp_path / "zoo.tar")
    assert (done.bundles, done.left_out) == (2, ()) and done.bytes == done.file.stat().st_size
    assert stat.S_IMODE(done.file.stat().st_mode) == 0o600
    again = restored(done.file, tmp_path / "again")
    assert again.verify().ok
    for mine, theirs in zip(again.list(), registry.list(), strict=True):
        assert (mine.id, mine.digest, mine.tags, mine.aliases) == (
            theirs.id, theirs.digest, theirs.tags, theirs.aliases,
        )  # fmt: skip
        assert again.get(mine.id).digest == theirs.digest
    assert again.aliases.history() == registry.aliases.history()
    assert again.search(sketch(seed=1), 2) == registry.search(sketch(seed=1), 2)
    again.remove(id)  # it can be changed, and apart from the other
    assert registry.get(id).id == id


def test_equal_files_are_written_once(registry: Registry, tmp_path: Path) -> None:
    alike = make_bundle(tmp_path / "alike", seed=1, name="alike")  # the weights of `letters`
    registry.add(alike)
    done = registry.backup(tmp_path / "zoo.tar")
    with tarfile.open(done.file) as tar:
        links = [member for member in tar if member.islnk()]
    assert any(link.name.endswith("model.safetensors") for link in links)
    assert restored(done.file, tmp_path / "again").verify().ok


def test_what_is_removed_or_added_meanwhile_leaves_it_whole(
    registry: Registry, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_to = registry._catalog.database.copy_to

    def then_change(target: Path) -> None:
        copy_to(target)
        registry.remove(registry.resolve("leaves"))
        registry.add(good)

    monkeypatch.setattr(registry._catalog.database, "copy_to", then_change)
    with pytest.warns(SntZooWarning, match="leaves"):
        done = back_up(registry._store, registry._catalog, tmp_path / "zoo.tar")
    assert [id.rpartition("-")[0] for id in done.left_out] == ["leaves"]
    again = restored(done.file, tmp_path / "again")
    assert [record.name for record in again.list()] == ["letters"] and again.verify().ok


def test_a_damaged_bundle_is_left_out_and_told(registry: Registry, tmp_path: Path) -> None:
    shutil.rmtree(registry.show(registry.resolve("leaves")).path)
    with pytest.warns(SntZooWarning, match="left out leaves"):
        done = registry.backup(tmp_path / "zoo.tar")
    assert done.bundles == 1 and restored(done.file, tmp_path / "again").verify().ok


def test_a_file_that_is_there_is_not_touched_and_one_that_fails_leaves_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    there = tmp_path / "zoo.tar"
    there.write_bytes(b"mine")
    with pytest.raises(RegistryError, match="name a new file"):
        registry.backup(there)
    assert there.read_bytes() == b"mine"
    with pytest.raises(RegistryError, match="cannot write the backup"):
        registry.backup(tmp_path / "nowhere" / "zoo.tar")
    before = set(tmp_path.iterdir())
    from benchmarks.limits import files_of_at_most

    with files_of_at_most(20_000), pytest.raises(RegistryError):
        registry.backup(tmp_path / "full.tar")
    assert set(tmp_path.iterdir()) == before
