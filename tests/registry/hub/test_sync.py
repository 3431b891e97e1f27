"""Sync: sketches of everything on the Hub, no weights, only what changed; and queries that rank it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.errors import HubError, HubUnavailableError, NoMatchError, NotInRegistryError
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.states import Listed
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.workflows.shelves import cache_of
from snt_zoo.zoo import Zoo
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import CARD, LIGHT, TOKEN, repository
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle, sketch


def test_only_what_changed_is_fetched_and_never_weights(stocked: Hub, zoo: Zoos, tmp_path: Path) -> None:
    first = zoo().sync()
    assert (first.repositories, first.supernets, first.fetched, first.unchanged) == (4, 4, 4, 0)
    assert set(stocked.sent) == LIGHT and sum(stocked.sent.values()) == first.bytes > 0
    assert first.refused == first.failed == ()

    requests = len(stocked.log)
    second = zoo().sync()
    assert (second.fetched, second.unchanged, second.bytes) == (0, 4, 0)
    assert all(entry[1] == "/api/models" for entry in stocked.log[requests:])

    stocked.seed("alice/s1", repository(tmp_path / "other", 11, name="s11"))
    del stocked.repos["alice/s2"]
    stocked.seed("bob/new", repository(tmp_path / "other", 12))
    requests = len(stocked.log)
    third = zoo().sync()
    assert (third.repositories, third.supernets, third.fetched, third.removed) == (4, 4, 2, 1)
    asked = {path.split("/resolve/")[0] for _, path, _, _ in stocked.log[requests:] if "/resolve/" in path}
    assert asked == {"/alice/s1", "/bob/new"}
    found = {match.repo for match in zoo().query(sketch(seed=0), k=9, hub=True)}
    assert found == {"alice/s0", "alice/s1", "alice/s3", "bob/new"}


def test_a_query_ranks_what_is_not_here_and_finetune_pulls_it(
    stocked: Hub, zoo: Zoos, tmp_path: Path, few_digits: ImageDataset
) -> None:
    home = zoo()
    with pytest.raises(HubError, match="nothing is known of the Hub yet: run `snt-zoo sync`"):
        home.query(sketch(seed=2), hub=True)
    home.add(make_bundle(tmp_path / "mine", seed=1, name="s1"))  # the same as alice/s1
    home.add(make_bundle(tmp_path / "own", seed=9, name="own"))
    home.sync()
    requests = len(stocked.log)
    matches = home.query(sketch(seed=2), k=9, hub=True)
    assert len(stocked.log) == requests  # a query needs no network
    best = matches[0]
    assert best.distance == pytest.approx(0, abs=1e-3) and best.remote and best.repo == "alice/s2"
    assert best.commit == stocked.repos["alice/s2"].branches["main"]
    assert best.to_json().items() >= {"remote": True, "repo": best.repo, "commit": best.commit}.items()
    assert [m.distance for m in matches] == sorted(m.distance for m in matches)
    assert {m.id.split("-")[0]: m.remote for m in matches} == {
        "s0": True, "s1": False, "s2": True, "s3": True, "own": False,
    }  # fmt: skip
    local = home.query(sketch(seed=2), k=9)
    assert not any(m.remote for m in local) and "remote" not in local[0].to_json()
    # Both rank alike: what is here is compared as it would be there.
    assert [m.id for m in matches if not m.remote] == [m.id for m in local]

    result = home.finetune(best, few_digits, epochs=1, floor=False)
    assert result.source == best.id and home.show(best.id).digest
    origin = home.origin(best.id)
    assert origin is not None and (origin.repo, origin.commit) == (best.repo, best.commit)
    assert {path for _, path, _, _ in stocked.log if path.endswith("model.safetensors")} == {
        f"/alice/s2/resolve/{best.commit}/model.safetensors"
    }
    assert not home.query(sketch(seed=2), hub=True)[0].remote


def test_finetune_takes_a_repository_or_an_id_that_was_seen(
    stocked: Hub, zoo: Zoos, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def stop(data: object, candidates: list[Candidate], *_: object, **__: object) -> None:
        used.extend(candidate.id for candidate in candidates)
        raise KeyboardInterrupt

    monkeypatch.setattr("snt_zoo.workflows.finetune.adapt", stop)
    home = zoo()
    home.sync()
    seen = next(record for record in cache_of(home).list() if record.repo == "alice/s3")
    for source in (seen.id, seen.id[:6]):  # nobody said that it may be somebody else's
        with pytest.raises(
            NotInRegistryError, match=r"saw s3-.* in alice/s3: name the repository, or add --hub"
        ):
            home.finetune(source, few_digits, epochs=1)
    for source in ("alice/s0", "alice/s0@main", seen.id, seen.id[:6]):
        with pytest.raises(KeyboardInterrupt):
            home.finetune(source, few_digits, epochs=1, floor=False, hub=True)
    assert [id.split("-")[0] for id in used] == ["s0", "s0", "s3", "s3"]
    with pytest.raises(NotInRegistryError, match="no supernet 'nobody'"):
        home.finetune("nobody", few_digits, epochs=1)
    # What was seen there is no longer what is there: the commit is pinned, so it is what was ranked.
    match = replace(home.query(sketch(seed=1), hub=True)[0], id="s1-00000000")
    with pytest.raises(HubError, match=r"holds s1-.* and not s1-00000000"):
        home.finetune(match, few_digits, epochs=1, floor=False)


def test_one_bad_repository_stops_nothing(stocked: Hub, zoo: Zoos, tmp_path: Path) -> None:
    good = repository(tmp_path / "more", 21)
    bad = {
        "bob/pickle": good | {"pytorch_model.bin": b"x"},
        "bob/code": good | {"modeling.py": b"x"},
        "bob/notours": {"README.md": CARD},
        "bob/json": good | {"manifest.json": b"[" * 9000},
        "bob/huge-manifest": good | {"manifest.json": b" " * 50_000},
        "bob/other-config": good | {"config.json": b"{}"},
        "bob/other-sketch": good | {"dataset.safetensors": good["dataset.safetensors"][:-1] + b"!"},
    }
    for id, files in bad.items():
        stocked.seed(id, files | ({} if "README.md" in files else {"README.md": CARD}))
    stocked.seed("bob/gone", good)
    stocked.broken.add("bob/gone")
    report = zoo().sync()
    assert report.supernets == 4 and report.repositories == 5 + len(bad)
    assert {repo for repo, _ in report.refused} == set(bad)
    assert all(reason and reason.isprintable() for _, reason in report.refused)
    (failed,) = report.failed
    assert failed[0] == "bob/gone" and "has a problem: try again later" in failed[1]
    assert not set(stocked.sent) - LIGHT
    # The refused are remembered, the failed tried again.
    stocked.sent.clear()
    again = zoo().sync()
    assert again.fetched == 1 and {repo for repo, _ in again.refused} == set(bad)
    stocked.broken.clear()
    assert zoo().sync().supernets == 5


def test_a_sketch_that_is_too_large_is_not_read_to_its_end(
    stocked: Hub, zoo: Zoos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snt_zoo.registry.hub.sync.MAX_SKETCHES_BYTES", 1000)
    report = zoo().sync()
    assert report.supernets == 0 and len(report.refused) == 4
    assert "dataset.safetensors must have at most 1,000 bytes" in report.refused[0][1]


def test_private_repositories_are_seen_by_their_owner(hub: Hub, zoo: Zoos, tmp_path: Path) -> None:
    hub.seed("alice/s1", repository(tmp_path, 1), private=True)
    assert zoo(machine="own").sync().supernets == 1
    assert zoo(None, machine="other").sync().repositories == 0


def test_without_a_network_what_was_known_is_kept(stocked: Hub, zoo: Zoos) -> None:
    home = zoo()
    home.sync()
    away = Zoo(home.registry, hub=HubClient(endpoint="http://127.0.0.1:9", token=TOKEN))
    with pytest.raises(HubUnavailableError, match=r"cannot reach http://127\.0\.0\.1:9"):
        away.sync()
    with pytest.raises(HubError, match="nothing is known of the Hub yet: run `snt-zoo sync` once"):
        away.query(sketch(seed=1), hub=True)  # nothing was seen on that Hub
    assert home.query(sketch(seed=1), hub=True)[0].repo == "alice/s1"


def test_a_first_sync_that_fails_is_none(stocked: Hub, zoo: Zoos, monkeypatch: pytest.MonkeyPatch) -> None:
    home = zoo()
    away = Zoo(home.registry, hub=HubClient(endpoint="http://127.0.0.1:9", token=TOKEN))
    never = pytest.raises(HubError, match="nothing is known of the Hub yet: run `snt-zoo sync` once")
    with pytest.raises(HubUnavailableError):
        away.sync()
    for one in (home, away):
        with never:
            one.query(sketch(seed=1), hub=True)
    with monkeypatch.context() as patch:  # the list was read, and then the network went

        def lost(*_: object, **__: object) -> bytes:
            raise HubUnavailableError("the network is gone")

        patch.setattr(HubClient, "read", lost)
        assert len(home.sync().failed) == 4
    with never:
        home.query(sketch(seed=1), hub=True)
    home.sync()
    assert home.query(sketch(seed=1), hub=True)[0].repo == "alice/s1"
    with pytest.raises(HubUnavailableError):
        away.sync()
    assert home.query(sketch(seed=1), hub=True)[0].repo == "alice/s1"


def test_a_sync_of_a_hub_without_supernets_is_one(hub: Hub, zoo: Zoos) -> None:
    zoo().sync()
    with pytest.raises(NoMatchError):
        zoo().query(sketch(seed=1), hub=True)


def test_pages_that_stop_remove_nothing_and_a_repository_on_two_counts_once(
    stocked: Hub, zoo: Zoos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = zoo()
    home.sync()
    stocked.seed("bob/new", repository(tmp_path / "new", 12))
    pages = HubClient.listing

    def stopping(client: HubClient, tag: str) -> Iterator[Listed]:
        yield from (one for one in pages(client, tag) if one.repo != "alice/s1")
        raise HubUnavailableError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(HubClient, "listing", stopping)
        with pytest.raises(HubUnavailableError):
            home.sync()
    assert home.query(sketch(seed=1), k=9, hub=True)[0].repo == "alice/s1"

    monkeypatch.setattr(HubClient, "listing", lambda client, tag: iter(2 * list(pages(client, tag))))
    again = home.sync()
    assert (again.repositories, again.fetched, again.unchanged) == (5, 1, 4)
