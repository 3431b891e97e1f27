from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.errors import (
    AlreadyInRegistryError,
    BundleError,
    IntegrityError,
    NotInRegistryError,
    ServiceAccessError,
    ServiceError,
    SntZooWarning,
)
from snt_zoo.registry import Record, Registry
from snt_zoo.registry.catalog.filters import Bound, Filter
from snt_zoo.registry.own_outcomes import FILE, SWITCH, by_supernet, outcomes_of_run
from snt_zoo.registry.remote.registry import RemoteRegistry
from tests.registry.making import make_bundle
from tests.service.making import READ

HERE = {"open", "place", "rescue", "keep", "to_rank", "home", "maker", "get", "checkout", "held", "embed"}
"""What `RemoteRegistry` takes over: it says nothing of the service, or reads what was fetched."""


def without_path(record: Record) -> Record:
    return replace(record, path=Path())


def test_it_answers_as_the_registry_does(registry: Registry, remote: RemoteRegistry) -> None:
    for where in (
        None,
        Filter(name="le*"),
        Filter(metrics=(Bound("seconds_per_image", ">=", 0.5),)),
        Filter(tag="-"),
    ):
        assert [*map(without_path, remote.list(where))] == [*map(without_path, registry.list(where))]
    assert remote.list(max_params=1) == []
    ids = {record.id for record in registry.list()}
    assert remote.ids(Filter()) == ids and remote.count() == 2
    assert remote.records([*ids, "gone-00000000"]).keys() == ids
    for word in ("letters", "tiny", "lettres", ""):
        assert remote.knows(word) == registry.knows(word), word
    for text in ("letters", "letters@latest", "lea"):
        assert remote.resolve(text) == registry.resolve(text)
    for text in ("lettres", "", "a/b", "..", "x\0y", "%2e%2e"):
        with pytest.raises(NotInRegistryError):
            remote.resolve(text)


def test_a_list_of_several_pages_is_whole(
    registry: Registry, remote: RemoteRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snt_zoo.registry.remote.registry._PAGE", 1)
    assert [record.id for record in remote.list()] == [record.id for record in registry.list()]


def test_what_is_fetched_is_what_is_there_and_is_fetched_once(
    registry: Registry, remote: RemoteRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = registry.resolve("letters")
    assert remote.show(id).document() == registry.show(id).document()
    for mine, theirs in zip(remote.sketches(id), registry.sketches(id), strict=True):
        assert torch.equal(mine.means, theirs.means)
    assert not list((remote.home / "bundles").iterdir()), "the weights are not needed for that"
    mine, theirs = remote.get(id), registry.get(id)
    assert mine.digest == theirs.digest
    for name, tensor in theirs.supernet.state_dict().items():
        assert torch.equal(mine.supernet.state_dict()[name], tensor)
    monkeypatch.setattr(remote.client, "stream", lambda *path: pytest.fail("fetched again"))
    assert remote.get(id).digest == theirs.digest
    assert {path.name for path in remote.folder(id).iterdir()} == {
        path.name for path in registry.show(id).path.iterdir()
    }


def test_the_cache_lets_go_of_what_was_fetched_first(
    registry: Registry, remote: RemoteRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = registry.list()
    remote.get(first.id)
    monkeypatch.setattr("snt_zoo.registry.remote.registry.KEPT_BYTES", first.size + second.size - 1)
    monkeypatch.setattr("snt_zoo.registry.remote.registry._LIGHT", 1)
    for record in (first, second):
        remote.show(record.id)
    remote.get(second.id)
    assert [path.name for path in (remote.home / "bundles").iterdir()] == [second.id]
    assert len(list((remote.home / "light").iterdir())) == 1
    assert remote.get(first.id).digest == first.digest


def test_a_cache_that_was_damaged_is_fetched_anew(registry: Registry, remote: RemoteRegistry) -> None:
    id = registry.resolve("letters")
    model = remote.folder(id) / "model.safetensors"
    model.chmod(0o644)
    model.write_bytes(b"damaged")
    assert remote.get(id).digest == registry.get(id).digest


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
def test_what_a_service_sends_is_not_trusted(registry: Registry, remote: RemoteRegistry, name: str) -> None:
    id = registry.resolve("letters")
    file = registry.show(id).path / name
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(BundleError):
        remote.get(id)
    assert not list((remote.home / "bundles").iterdir())


def test_a_bundle_is_added_with_its_labels(registry: Registry, remote: RemoteRegistry, good: Path) -> None:
    record = remote.add(good, tags=["reviewed"], aliases=["best"])
    there = registry.show(record.id)
    assert without_path(record) == without_path(there)
    assert "reviewed" in there.tags and set(there.aliases) == {"best", "latest"}
    assert registry.verify().ok
    with pytest.raises(AlreadyInRegistryError, match="already"):
        remote.add(good)


def test_a_bundle_that_is_refused_changes_nothing(
    registry: Registry, remote: RemoteRegistry, good: Path
) -> None:
    with (good / "README.md").open("a") as card:
        card.write("changed")
    with pytest.raises(IntegrityError, match=r"README\.md"):
        remote.add(good)
    assert registry.count() == 2 and registry.verify().ok


def test_tags_and_aliases_are_those_of_the_service(registry: Registry, remote: RemoteRegistry) -> None:
    id = registry.resolve("letters")
    assert "seen" in remote.tag(id, add=["seen"]).tags and registry.knows("seen")
    assert "seen" not in remote.tag(id, remove=["seen"]).tags
    moved = remote.aliases.move("best", id, why="0.9 on our own test")
    assert moved == registry.aliases.all("letters")[0] == remote.aliases.all("letters")[0]
    assert remote.aliases.history("letters", "best") == registry.aliases.history("letters", "best")
    assert remote.aliases.history("letters", "best")[-1].by == "alice", "whose token it is"
    remote.aliases.drop("letters", "best", why="over")
    assert [one.alias for one in registry.aliases.all("letters")] == ["latest"]
    with pytest.raises(NotInRegistryError):
        remote.aliases.drop("letters", "best")


def test_who_may_read_may_not_write(url: str, tmp_path: Path, good: Path) -> None:
    reader = RemoteRegistry.at(url, token=READ, cache=tmp_path / "cache")
    assert reader.count() == 2
    with pytest.raises(ServiceAccessError, match="read token"):
        reader.add(good)
    with pytest.raises(ServiceAccessError):
        reader.tag(reader.resolve("letters"), add=["x"])


def test_a_bundle_of_another_maker_may_be_fetched_and_is_not_mixed(
    registry: Registry, remote: RemoteRegistry, tmp_path: Path
) -> None:
    other = registry.add(make_bundle(tmp_path / "third", seed=3, name="third"))
    assert remote.get(other.id).id == other.id


def test_what_only_the_machine_of_the_registry_can_do_is_refused(remote: RemoteRegistry) -> None:
    for call in (
        lambda: remote.remove("letters"),
        lambda: remote.verify(),
        lambda: remote.gc(),
        lambda: remote.usage(),
        lambda: remote.set_limit(None),
        lambda: remote.seed([]),
        lambda: remote.rebuild_index(),
        lambda: remote.lineage("letters"),
        lambda: remote.page(),
        lambda: remote.backup("x.tar"),
    ):
        with pytest.raises(ServiceError, match="leave out --zoo"):
            call()


def _outcomes(registry: Registry) -> list[Outcome]:
    record, *_ = registry.list()
    finished = {"source": record.id, "genotype": "{}", "params": 9, "macs": 8, "budget": 60.0, "seed": 0}
    return outcomes_of_run(
        {record.id: record},
        {record.id: 0.4},
        target="photos",
        sketch=b"sketch",
        classes=4,
        images=(100, 20, 0),
        race=[{"id": record.id, "val_accuracy": 0.5}],
        finished={**finished, "val": 0.8, "test": None},
    )


@pytest.fixture
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


@pytest.mark.usefixtures("_kept")
def test_what_a_run_came_to_goes_to_the_service(registry: Registry, remote: RemoteRegistry) -> None:
    made = _outcomes(registry)
    remote.keep_outcomes(made)
    remote.keep_outcomes(made)  # as if the first answer had been lost
    (found,) = by_supernet(registry.home).values()
    assert [(one.method, one.val, one.test, one.expected) for one in found] == [
        ("head", 0.5, None, 0.4),
        ("finetune", 0.8, None, None),
    ]
    assert {(one.bundle, one.digest, one.target, one.fingerprint) for one in found} == {
        (one.bundle, one.digest, one.target, one.fingerprint) for one in made
    }
    assert not (remote.home / FILE).exists()


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize("token", [READ, None])
def test_who_may_not_write_is_told_that_it_was_not_sent(
    registry: Registry, url: str, tmp_path: Path, token: str | None
) -> None:
    remote = RemoteRegistry.at(url, token=token, cache=tmp_path / "reader")
    with pytest.warns(SntZooWarning, match="was not sent: http"):
        remote.keep_outcomes(_outcomes(registry))
    assert not (registry.home / FILE).exists()


def test_where_outcomes_are_switched_off_none_is_sent(
    registry: Registry, remote: RemoteRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "0")
    remote.keep_outcomes(_outcomes(registry))
    assert not (registry.home / FILE).exists()


def test_nothing_is_taken_over_from_the_cache_by_mistake() -> None:
    public = {name for name, _ in inspect.getmembers(Registry) if not name.startswith("_")}
    own = {name for name in vars(RemoteRegistry) if not name.startswith("_")}
    assert public - own == HERE
