"""What goes wrong, in one line that says what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import snt_zoo
from snt_zoo.errors import HubAccessError, HubError, HubNotFoundError, HubUnavailableError, SntZooError
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.failures import hub_failures
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


_XET = "http://127.0.0.1:8000/api/models/alice/x/xet-write-token/main"


@pytest.mark.parametrize(("error", "message"), [
    (ConnectionError(f"Request error: HTTP status client error (404 Not Found), domain: {_XET}"),
     r"alice/x: http://hub has no Xet storage, which was asked for: set HF_HUB_DISABLE_XET=1"),
    (RuntimeError(f"404 Client Error\nfor url: {_XET.replace('write', 'read')}"), "set HF_HUB_DISABLE_XET=1"),
    (ConnectionError(f"(503 Service Unavailable), domain: {_XET}"), "cannot reach"),
    (ConnectionError("connection refused, 404 is a port"), "cannot reach"),
    (OSError(errno.ENOSPC, "No space left on device"), r"cannot be written \(No space.*make room.*HF_HOME"),
    (OSError(errno.EROFS, "Read-only file system"), r"cannot be written \(Read-only.*HF_HOME"),
    (OSError(errno.EFBIG, "File too large"), "HF_HOME"),
])  # fmt: skip
def test_what_is_no_failure_of_the_network_is_not_told_as_one(error: Exception, message: str) -> None:
    with pytest.raises(HubError, match=message), hub_failures("alice/x", endpoint="http://hub"):
        raise error
    if "reach" not in message:
        with pytest.raises(HubError, match=message), hub_failures("alice/x", endpoint="http://hub"):
            raise ValueError("as the client wraps it") from error


def test_a_push_to_a_hub_without_xet_says_what_to_set(
    hub: Hub, zoo: Zoos, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match="set HF_HUB_DISABLE_XET=1"):
        zoo().push(good, REPO)
