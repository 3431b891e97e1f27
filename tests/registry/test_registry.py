from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.errors import NotInRegistryError, RegistryError
from snt_zoo.registry import Registry, read_bundle
from snt_zoo.registry.catalog.vectors import Maker
from tests.registry.making import BACKBONE, make_bundle, sketch, snapshot


def test_add_show_get_sketches_remove(good: Path, registry: Registry) -> None:
    before = {p.name: p.read_bytes() for p in good.iterdir()}
    record = registry.add(good)
    bundle = read_bundle(good)

    assert registry.show(record.id) == record
    assert {p.name: p.read_bytes() for p in record.path.iterdir()} == before
    assert record.path == registry.home / "bundles" / record.id
    assert record.config == bundle.config
    assert record.class_names == ("class 0", "class 1", "class 2")
    assert (record.sources, record.tags, record.licence) == (("shapes",), ("tiny",), "Apache-2.0")
    assert (record.params, record.macs, record.supernet_params) == (
        bundle.config.params,
        bundle.config.macs,
        bundle.config.supernet_params,
    )
    assert (record.val_accuracy, record.test_accuracy) == (0.75, None)
    assert (record.digest, record.space) == (bundle.digest, "nas_bench_201")
    assert record.added_at.endswith("+00:00")
    with pytest.raises(FrozenInstanceError):
        record.name = "x"  # type: ignore[misc]

    got = registry.get(record.id)
    state = bundle.supernet.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in got.supernet.state_dict().items())
    assert [s.to_meta() for s in registry.sketches(record.id)] == [s.to_meta() for s in bundle.sketches]

    registry.remove(record.id)
    assert not record.path.exists()
    assert record.id not in [r.id for r in registry.list()]
    for call in (registry.show, registry.get, registry.sketches, registry.remove):
        with pytest.raises(NotInRegistryError):
            call(record.id)
    assert {p.name: p.read_bytes() for p in good.iterdir()} == before
    assert registry.add(good).id == record.id


def test_home_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNT_ZOO_HOME", str(tmp_path / "there"))
    assert Registry.open().home == tmp_path / "there"
    assert Registry.open(tmp_path / "here").home == tmp_path / "here"
    monkeypatch.delenv("SNT_ZOO_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in Registry.open().home.parents
    assert "snt-zoo" in Registry.open().home.parts
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match="SNT_ZOO_HOME"):
        Registry.open(tmp_path / "file")


def test_an_empty_registry(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home with spaces, ü and %")
    assert registry.list() == []
    assert registry.maker is None
    assert registry.search(sketch(), 5) == []
    assert registry.rebuild_index() == 0 == registry.rebuild_index(from_bundles=True)
    with pytest.raises(NotInRegistryError, match="snt-zoo list"):
        registry.resolve("x")


def test_rebuilding_with_another_encoder(tmp_path: Path, registry: Registry) -> None:
    records = registry.list()
    registry = Registry.open(registry.home, encoder=DatasetEncoder("other", lambda s: s.means.std(0)[:32]))
    assert registry.rebuild_index(from_bundles=True) == 2
    assert registry.maker == Maker(BACKBONE, "other", 32)
    assert [(r.id, r.added_at) for r in registry.list()] == [(r.id, r.added_at) for r in records]
    record = registry.add(make_bundle(tmp_path / "b"))
    answers = registry.search(sketch(), 1)
    assert answers[0][0] == record.id and answers[0][1] == pytest.approx(1.0, abs=1e-6)


def test_the_catalog_is_rebuilt_from_the_store(starters: list[Path], registry: Registry) -> None:
    registry.seed(starters)
    before = snapshot(registry)
    for path in registry.home.glob("catalog.sqlite*"):
        path.unlink()
    again = Registry.open(registry.home)
    assert again.list() == []
    assert sorted(again._store.ids()) == before["folders"]  # opening deletes nothing
    assert again.rebuild_index(from_bundles=True) == 5
    after = snapshot(again)
    assert (after["files"], after["search"]) == (before["files"], before["search"])
    assert [r.id for r in after["list"]] == [r.id for r in before["list"]]
