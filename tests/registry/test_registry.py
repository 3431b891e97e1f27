from __future__ import annotations

import shutil
import sqlite3
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import (
    AlreadyInRegistryError,
    IndexMismatchError,
    IntegrityError,
    MissingFileError,
    NotInRegistryError,
    RegistryError,
)
from snt_zoo.registry import Registry, read_bundle
from snt_zoo.registry.catalog.naming import resolve
from snt_zoo.registry.catalog.vectors import Maker
from tests.registry.making import (
    BACKBONE,
    config_data,
    edit_config,
    make_bundle,
    network,
    sketch,
    snapshot,
    source,
)


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


def test_the_same_bundle_twice_is_refused(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    before = snapshot(registry)
    with pytest.raises(AlreadyInRegistryError, match=f"{record.id} is in the registry already"):
        registry.add(good)
    assert snapshot(registry) == before


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


def test_list_filters(tmp_path: Path, registry: Registry) -> None:
    big = registry.add(make_bundle(tmp_path / "b", net=network(channels=4), name="big"))
    darts = registry.add(
        make_bundle(tmp_path / "d", net=network(space="darts"), name="darts", tags=["x", "y"])
    )
    assert [r.name for r in registry.list()] == ["big", "darts", "leaves", "letters"]
    assert [r.name for r in registry.list(space="darts")] == ["darts"]
    assert [r.name for r in registry.list(tag="y")] == ["darts"]
    assert registry.list(tag="y", space="nas_bench_201") == []
    for bound in {r.params for r in registry.list()}:
        kept = {r.id for r in registry.list(max_params=bound)}
        assert kept == {r.id for r in registry.list() if r.params <= bound}
    for bound in {r.macs for r in registry.list()}:
        kept = {r.id for r in registry.list(max_macs=bound - 1)}
        assert kept == {r.id for r in registry.list() if r.macs < bound}
    assert big in registry.list() and darts in registry.list()


NAMES = [
    ("leaves-00000000", "leaves"),
    ("letters-11111111", "letters"),
    ("letters-12222222", "letters"),
    ("letters-13333333.old-4444444f", "letters-13333333.old"),
    ("let-55555555", "let"),
]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("letters-11111111", "letters-11111111"),
        ("letters-11", "letters-11111111"),
        ("lea", "leaves-00000000"),
        ("leaves", "leaves-00000000"),
        ("let", "let-55555555"),  # a name comes before the start of others
    ],
)
def test_what_a_prefix_means(prefix: str, found: str) -> None:
    assert resolve(prefix, NAMES) == found


@pytest.mark.parametrize(
    ("prefix", "hint"),
    [
        ("letters", "fits 2 supernets: letters-11111111, letters-12222222"),
        ("letters-1", "fits 3 supernets"),
        ("le", "fits 5 supernets"),
        ("leafes", "did you mean leaves"),
        ("leters-11111111", "letters-11111111"),
        ("zzz", "snt-zoo list"),
        ("", "snt-zoo list"),
        ("../leaves-00000000", "no supernet"),
        ("\x1b[2J", r"\\x1b\[2J"),
    ],
)
def test_what_a_prefix_does_not_mean(prefix: str, hint: str) -> None:
    with pytest.raises(NotInRegistryError, match=hint) as caught:
        resolve(prefix, NAMES)
    assert str(caught.value).isprintable()


def test_show_takes_whole_ids_and_says_which(registry: Registry) -> None:
    id = registry.resolve("leaves")
    with pytest.raises(NotInRegistryError, match=f"did you mean {id}"):
        registry.show("leaves")
    with pytest.raises(NotInRegistryError, match="did you mean leaves"):
        registry.get("leafs")


@pytest.fixture
def starters(tmp_path: Path) -> list[Path]:
    return [make_bundle(tmp_path / f"s{i}", seed=i, name=f"starter-{i}") for i in (5, 6, 7)]


def test_starters_are_added_once(starters: list[Path], registry: Registry) -> None:
    calls: list[str] = []

    def counting(sketch: Sketch) -> torch.Tensor:
        calls.append(sketch.name)
        return MOMENTS.embed(sketch)

    registry = Registry.open(registry.home, encoder=replace(MOMENTS, embed=counting))
    assert registry.seed(starters[:2]) == 2
    assert registry.seed(starters[:2]) == 0
    assert len(calls) == 2
    registry.remove(registry.resolve("starter-5"))
    again = Registry.open(registry.home)
    assert again.seed(starters) == 1  # the third; the first does not come back
    assert [r.name for r in again.list()] == ["leaves", "letters", "starter-6", "starter-7"]
    assert again.add(starters[0]).name == "starter-5"  # unless it is asked for
    assert again.seed(starters) == 0


def test_a_starter_that_is_there_counts_as_seeded(starters: list[Path], registry: Registry) -> None:
    id = registry.add(starters[0]).id
    assert registry.seed(starters[:1]) == 0
    registry.remove(id)
    assert registry.seed(starters[:1]) == 0
    assert id not in [r.id for r in registry.list()]


def test_seeding_what_is_seeded_reads_manifests_alone(
    starters: list[Path], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.seed(starters)
    for folder in starters:
        for path in folder.iterdir():
            if path.name != "manifest.json":
                path.unlink()
    monkeypatch.setattr("snt_zoo.registry.store.store.Store.lock", None)  # not even the lock is taken
    assert registry.seed(starters) == 0


def test_a_spoilt_starter_leaves_the_others(starters: list[Path], registry: Registry) -> None:
    (starters[1] / "README.md").write_text("x")
    with pytest.raises(IntegrityError):
        registry.seed(starters)
    assert [r.name for r in registry.list()] == ["leaves", "letters", "starter-5"]
    shutil.copytree(
        make_bundle(starters[1].parent / "ok", seed=6, name="starter-6"), starters[1], dirs_exist_ok=True
    )
    assert registry.seed(starters) == 2


def test_vectors_of_another_maker_are_refused(tmp_path: Path, registry: Registry) -> None:
    before = snapshot(registry)
    other = make_bundle(tmp_path / "a", backbone="big/p", sketches=[sketch(backbone="big/p")])
    with pytest.raises(IndexMismatchError, match=r"`--backbone tiny`"):
        registry.add(other)
    with pytest.raises(IndexMismatchError, match="--backbone tiny"):
        registry.search(sketch(backbone="big/p"), 1)
    plain = make_bundle(tmp_path / "b", encoder="another")  # what an author's registry had does not matter
    for encoder in (replace(MOMENTS, id="other"), replace(MOMENTS, embed=lambda s: s.means.mean(0))):
        opened = Registry.open(registry.home, encoder=encoder)
        with pytest.raises(IndexMismatchError, match=r"with 128 numbers.*rebuild_index\(from_bundles"):
            opened.add(plain)
        with pytest.raises(IndexMismatchError, match="rebuild_index"):
            opened.search(sketch(), 1)
    assert snapshot(registry) == before
    assert registry.maker == Maker(BACKBONE, MOMENTS.id, 128)

    for record in registry.list():  # an empty registry takes any maker
        registry.remove(record.id)
    assert registry.maker is None
    assert registry.add(other).backbone == "big/p"


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


def test_adding_what_a_lost_catalog_left(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    (record.path / "README.md").write_text("damaged meanwhile")
    with sqlite3.connect(registry.home / "catalog.sqlite") as connection:
        connection.execute("DELETE FROM vectors")
        connection.execute("DELETE FROM bundles")
    connection.close()
    with pytest.raises(IntegrityError):
        registry.rebuild_index(from_bundles=True)
    assert registry.add(good).id == record.id
    assert registry.get(record.id).id == record.id
    assert registry.rebuild_index(from_bundles=True) == 3


def test_a_folder_of_another_name_is_no_bundle_of_the_store(good: Path, registry: Registry) -> None:
    shutil.copytree(good, registry.home / "bundles" / "shapes-00000000")
    before = snapshot(registry)
    with pytest.raises(IntegrityError, match="shapes-00000000 holds"):
        registry.rebuild_index(from_bundles=True)
    assert snapshot(registry) == before


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


def test_catalogs_of_another_kind_are_refused(registry: Registry) -> None:
    path = registry.home / "catalog.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE state SET value = 99 WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(RegistryError, match=r"schema version 99.*upgrade snt-zoo"):
        Registry.open(registry.home)
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(RegistryError, match=r"catalog\.sqlite cannot be used.*verify --repair"):
        Registry.open(registry.home)
    with pytest.raises(RegistryError):
        registry.list()


def test_several_sources_are_listed(tmp_path: Path, registry: Registry) -> None:
    training = config_data(network())["training"] | {"datasets": [source("a"), source("b")]}
    folder = make_bundle(tmp_path / "b", training=training, sketches=[sketch(seed=1), sketch(seed=2)])
    record = registry.add(folder)
    assert record.sources == ("a", "b")
    assert len(registry.sketches(record.id)) == 2
    assert registry.rebuild_index() == 4


def test_a_search_without_sense_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="k must be at least 1"):
        registry.search(sketch(), 0)
    broken = Registry.open(registry.home, encoder=replace(MOMENTS, embed=lambda _: torch.zeros(128)))
    with pytest.raises(RegistryError, match="must be a finite vector"):
        broken.search(sketch(), 1)
