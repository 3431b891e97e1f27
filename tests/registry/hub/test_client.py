"""The client: tokens, pages, a busy hub, a cut download, its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import HubError, IntegrityError
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.redaction import MASK
from snt_zoo.registry.hub.refs import RepoRef
from tests.registry.conftest import Clients, Zoos
from tests.registry.hub.repositories import LIGHT, MODEL, REPO, TOKEN, Files, unreachable
from tests.registry.hub.state import Hub


def test_a_damaged_cache_is_noticed_and_mended(hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    commit = hub.seed(REPO, uploaded)
    home = zoo()
    id = home.pull(REPO).id
    assert id is not None
    home.remove(id)
    blob = home.hub.cached(REPO, commit, MODEL)
    assert blob is not None
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x77")
    away = unreachable(home, home.hub.cache)
    with pytest.raises(IntegrityError, match=r"model\.safetensors must have.*cannot be fetched again"):
        away.pull(f"{REPO}@{commit}")
    assert home.hub.cached(REPO, commit, MODEL) is None
    assert home.pull(f"{REPO}@{commit}").added


def test_an_interrupted_download_goes_on_where_it_ended(
    hub: Hub, zoo: Zoos, uploaded: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)  # in place of 10 MB
    hub.seed(REPO, uploaded)
    half = len(uploaded[MODEL]) // 2
    hub.cut[MODEL] = half
    assert zoo().pull(REPO).added
    ranges = [entry[3] for entry in hub.log if entry[1].endswith(MODEL) and entry[0] == "GET"]
    assert ranges == [None, f"bytes={half // 4096 * 4096}-"]
    assert hub.sent[MODEL] < len(uploaded[MODEL]) + 4096


def test_the_token_does_not_follow_to_another_host(hub: Hub, zoo: Zoos, good: Path) -> None:
    zoo().push(good, REPO, private=True)
    hub.other_host = True
    there = zoo(machine="there")
    assert there.pull(REPO).added
    there.sync()
    elsewhere = [entry for entry in hub.log if entry[1].startswith("cdn:")]
    assert {entry[1].rpartition("/")[2] for entry in elsewhere} == {MODEL, "dataset.safetensors"}
    assert all(authorization is None for _, _, authorization, _ in elsewhere)
    assert all(entry[2] is not None for entry in hub.log if "resolve" in entry[1])


def test_a_busy_hub_is_asked_again(stocked: Hub, zoo: Zoos) -> None:
    stocked.busy = 2
    assert zoo().sync().supernets == 4
    assert len(stocked.requests("/resolve/")) == 4 * len(LIGHT) + 2


def test_a_listing_of_many_pages(stocked: Hub, zoo: Zoos) -> None:
    stocked.page = 1
    assert zoo().sync().supernets == 4
    assert len(stocked.requests("/api/models")) == 5


def test_a_client_shows_no_token(hub: Hub, zoo: Zoos) -> None:
    client = zoo().hub
    assert TOKEN not in repr(client) and TOKEN not in str(vars(client))
    assert MASK in repr(client)


def test_a_token_that_goes_out_without_encryption_is_told_once(
    hub: Hub, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snt_zoo.registry.hub.client._THIS_MACHINE", ())  # as if the hub were elsewhere
    hub.seed(REPO, {"README.md": b"x"})
    alice = client()
    with pytest.warns(UserWarning, match="without encryption.*https://") as told:
        alice.state(RepoRef(REPO))
        alice.tags(REPO)
    assert len([one for one in told if "encryption" in str(one.message)]) == 1
    assert TOKEN not in str(told[0].message)


def test_without_a_token_with_encryption_or_within_the_machine_nothing_is_told(
    hub: Hub, client: Clients, recwarn: pytest.WarningsRecorder
) -> None:
    hub.seed(REPO, {"README.md": b"x"})
    client(None).state(RepoRef(REPO))
    client().state(RepoRef(REPO))
    with pytest.raises(HubError):
        HubClient(endpoint="https://127.0.0.1:9", token=TOKEN).state(RepoRef(REPO))
    assert not [one for one in recwarn.list if "encryption" in str(one.message)]
