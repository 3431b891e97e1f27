"""What a query needs of the Hub, kept here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.errors import HubError, NoMatchError, NotInRegistryError
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.latency.table import key_of
from snt_zoo.registry.hub.cache import FILE, OWNER_MOST, HubCache
from snt_zoo.registry.hub.sync import sync
from snt_zoo.workflows.share import id_of
from tests.networks.latency.making import made_up
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import repository
from tests.registry.hub.state import Hub
from tests.registry.making import sketch


@pytest.mark.parametrize("spoil", ["delete", "damage", "older"])
def test_the_cache_may_be_lost(spoil: str, stocked: Hub, zoo: Zoos) -> None:
    home = zoo()
    home.sync()
    path = home.registry.home / FILE
    if spoil == "delete":
        path.unlink()
    elif spoil == "damage":
        path.write_bytes(b"no database" * 1000)
    else:
        import sqlite3

        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    report = home.sync()
    assert (report.fetched, report.supernets) == (4, 4)


def test_another_encoder_needs_no_network(stocked: Hub, zoo: Zoos) -> None:
    home = zoo()
    means = DatasetEncoder("means-v1", lambda sketch: sketch.means.mean(0))
    cache = HubCache(home.registry.home, endpoint=home.hub.place, encoder=means)
    sync(home.hub, cache)
    target = sketch(seed=3)
    assert cache.search(target, 1)[0][1] == pytest.approx(1, abs=1e-6)
    assert cache.search(replace(target, backbone="other"), 4) == []
    requests = len(stocked.log)
    best = home.query(target, hub=True)[0]
    assert best.repo == "alice/s3" and len(stocked.log) == requests
    assert cache.search(target, 1) == []  # they are of `MOMENTS` now
    cache = HubCache(home.registry.home, endpoint=home.hub.place, encoder=MOMENTS)
    digest = next(one.digest for one in cache.list() if one.id == best.id)
    assert [found for found, _ in cache.search(sketch(seed=9), 9, allowed={digest})] == [digest]


def test_the_same_content_in_two_places_is_ranked_once(stocked: Hub, zoo: Zoos, tmp_path: Path) -> None:
    stocked.seed("bob/fork", repository(tmp_path / "fork", 2))
    home = zoo()
    assert home.sync().repositories == 5
    assert len(home.query(sketch(seed=2), k=9, hub=True)) == 4


def test_an_owner_of_many_repositories_does_not_fill_a_shortlist(
    stocked: Hub, zoo: Zoos, tmp_path: Path
) -> None:
    for seed in range(20):
        stocked.seed(f"mallory/m{seed}", repository(tmp_path / f"many{seed}", 0, name=f"m{seed}"))
    home = zoo()
    home.sync()
    repos = [match.repo or "" for match in home.query(sketch(seed=0), k=30, hub=True)]
    assert sum(repo.startswith("mallory/") for repo in repos) == OWNER_MOST
    assert sum(repo.startswith("alice/") for repo in repos) == 4


def test_contents_whose_ids_are_alike_do_not_hide_each_other(
    stocked: Hub, zoo: Zoos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id has 32 bits of the digest, and that many can be tried."""
    monkeypatch.setattr("snt_zoo.registry.hub.sync.bundle_id", lambda config, digest: "same-12345678")
    home = zoo()
    home.sync()
    found = home.query(sketch(seed=2), k=9, hub=True)
    assert {match.repo for match in found} == {f"alice/s{seed}" for seed in range(4)}
    assert found[0].repo == "alice/s2"
    with pytest.raises(NotInRegistryError):  # which of the four is not for us to choose
        id_of(home, "same-12345678", hub=True)


def test_what_an_earlier_release_kept_is_not_used(stocked: Hub, zoo: Zoos) -> None:
    """It did not hold the sketches to the config."""
    home = zoo()
    home.sync()
    with closing(sqlite3.connect(home.registry.home / FILE)) as connection, connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(HubError, match="run `snt-zoo sync` once"):
        home.query(sketch(seed=2), hub=True)
    assert home.sync().fetched == 4 and len(home.query(sketch(seed=2), hub=True)) == 4


def test_constraints_and_exclusions_hold_for_both(stocked: Hub, zoo: Zoos, tmp_path: Path) -> None:
    stocked.seed("bob/darts", repository(tmp_path / "made", 7, tags=["leafy"]))
    home = zoo()
    home.sync()
    everything = home.query(sketch(seed=7), k=9, hub=True)
    assert everything[0].repo == "bob/darts"
    without = home.query(sketch(seed=7), k=9, hub=True, exclude=["leafy"])
    assert [m.id for m in without] == [m.id for m in everything[1:]]
    few = home.query(sketch(seed=7), k=9, hub=True, max_params=max(m.params for m in everything))
    assert len(few) == len(everything)
    with pytest.raises(NotInRegistryError, match="nothing to exclude"):
        home.query(sketch(seed=7), hub=True, exclude=["leafi"])


def test_a_limit_of_time_holds_for_what_is_on_the_hub(stocked: Hub, zoo: Zoos, tmp_path: Path) -> None:
    home = zoo()
    home.sync()
    everything = home.query(sketch(seed=2), k=9, hub=True)
    assert {match.repo for match in everything} == {f"alice/s{seed}" for seed in range(4)}
    shelf = HubCache(home.registry.home, endpoint=home.hub.place, encoder=home.registry.encoder)
    networks = {one.id: one.derived() for one in shelf.list()}
    table = made_up(*{key_of(config): config for config, _ in networks.values()}.values())
    table.write(tmp_path / "table.json")
    taken = {id: table.predict(*network) for id, network in networks.items()}
    assert all(match.macs == derived_size(*networks[match.id])[1] for match in everything)
    slowest = max(taken.values())

    def within(seconds: float, file: str = "table.json") -> set[str]:
        found = home.query(sketch(seed=2), k=9, hub=True, max_latency=seconds, latency_table=tmp_path / file)
        return {match.id for match in found}

    assert within(slowest) == set(taken)
    with pytest.raises(NoMatchError):
        within(min(taken.values()) / 2)
    replace(table, rows={}).write(tmp_path / "empty.json")  # what the table does not know is in no time
    with pytest.raises(NoMatchError):
        within(slowest, "empty.json")
