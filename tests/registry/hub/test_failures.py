"""What goes wrong, in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import snt_zoo
from snt_zoo.errors import HubAccessError, HubNotFoundError, HubUnavailableError, SntZooError
from snt_zoo.registry.hub.client import HubClient
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import OTHER_TOKEN, REPO, Files, commits
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ("alice", "owner/name"),
        ("alice/../../etc", "owner/name"),
        ("alice/shapes@", "branch, tag or commit"),
        ("alice/shapes@../../../x", "branch, tag or commit"),
        ("alice/shapes@a\nb", "branch, tag or commit"),
        ("alice/shapes@nowhere", "no such branch, tag or commit"),
        ("alice/shapes@" + "0" * 40, "no such branch, tag or commit"),
        ("alice/nothing", "no such repository"),
    ],
)
def test_what_is_not_there(ref: str, reason: str, hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    hub.seed(REPO, uploaded)
    with pytest.raises(SntZooError, match=reason):
        zoo().pull(ref)


def test_a_private_repository(hub: Hub, zoo: Zoos, good: Path) -> None:
    pushed = zoo().push(good, REPO, private=True)
    assert hub.repos[REPO].private
    for token in (None, OTHER_TOKEN):
        with pytest.raises(HubNotFoundError, match=r"no such repository .*private.*hf auth login"):
            zoo(token, machine="there").pull(REPO)
    assert zoo(machine="own").pull(REPO).commit == pushed.commit


def test_who_may_push(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    with pytest.raises(HubAccessError, match="hf auth login"):
        zoo(None).push(good, REPO)
    with pytest.raises(HubAccessError, match="hf auth login"):
        zoo("hf_unknownunknownunknown").push(good, REPO)
    zoo().push(good, REPO)
    with pytest.raises(HubAccessError):
        zoo(OTHER_TOKEN).push(make_bundle(tmp_path / "b", seed=3), REPO)
    assert commits(hub) == 2
    away = snt_zoo.Zoo(zoo().registry, hub=HubClient(endpoint="http://127.0.0.1:9", token="hf_whatever123"))
    with pytest.raises(HubUnavailableError, match=r"cannot reach http://127\.0\.0\.1:9: check the network"):
        away.push(good, REPO)
