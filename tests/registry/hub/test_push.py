"""Push: one commit or none, nothing mixed, nobody's card lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snt_zoo.errors import HubConflictError, HubError
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import BUNDLE, commits
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle

REPO = "alice/shapes"


def test_a_push_is_one_commit_and_a_second_one_none(hub: Hub, zoo: Zoos, good: Path) -> None:
    done = zoo().push(good, REPO, tag="v1")
    assert done.changed and done.created and done.card == "written"
    assert set(done.files) == BUNDLE | {"README.md"} and set(done.files.values()) == {"added"}
    assert commits(hub) == 2  # the first is the Hub's own
    repo = hub.repos[REPO]
    assert repo.branches["main"] == repo.tags["v1"] == done.commit
    assert done.commit_url == f"{hub.url}/{REPO}/commit/{done.commit}"
    files = hub.files(REPO)
    for name in BUNDLE - {"card.md"}:
        assert files[name] == (good / name).read_bytes()
    assert files["card.md"] == (good / "README.md").read_bytes()

    sent = len([entry for entry in hub.log if entry[0] in ("POST", "PUT")])
    again = zoo().push(good, REPO, tag="v1")
    assert not again.changed and not again.created and again.commit == done.commit
    assert again.commit_url == done.commit_url and set(again.files.values()) == {"unchanged"}
    assert len([entry for entry in hub.log if entry[0] in ("POST", "PUT")]) == sent
    assert json.loads(json.dumps(again.to_json()))["changed"] is False


def test_only_what_changed_is_sent(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    zoo().push(good, REPO)
    other = make_bundle(tmp_path / "other", description="Other words.")
    done = zoo().push(other, REPO)
    assert done.files["model.safetensors"] == done.files["dataset.safetensors"] == "unchanged"
    assert done.files["config.json"] == done.files["manifest.json"] == "changed"
    # Nobody edited the card, so it follows.
    assert done.files["README.md"] == "changed" and b"Other words" in hub.files(REPO)["README.md"]


def test_a_conflicting_push_is_refused_and_nothing_is_mixed(
    hub: Hub, zoo: Zoos, good: Path, tmp_path: Path
) -> None:
    zoo().push(good, REPO)
    mine, theirs = (make_bundle(tmp_path / name, seed=seed, name=name) for seed, name in ((5, "a"), (6, "b")))
    hub.before_commit = lambda: zoo(machine="there").push(theirs, REPO)
    with pytest.raises(HubConflictError, match=r"somebody else changed it meanwhile.*push again"):
        zoo().push(mine, REPO, tag="v2")
    files = hub.files(REPO)
    assert {name: files[name] for name in BUNDLE - {"card.md"}} == {
        name: (theirs / name).read_bytes() for name in BUNDLE - {"card.md"}
    }
    assert hub.repos[REPO].tags == {} and commits(hub) == 3
    assert zoo().push(mine, REPO, tag="v2").changed  # after a look at it


def test_a_dry_run_sends_nothing(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    would = zoo().push(good, REPO, tag="v1", private=True, dry_run=True)
    assert would.changed and would.created and would.dry_run and would.commit is None
    assert hub.repos == {}
    zoo().push(good, REPO)
    would = zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, revision="next", dry_run=True)
    assert would.files["model.safetensors"] == "changed" and would.commit is None
    assert commits(hub) == 2 and set(hub.repos[REPO].branches) == {"main"}


def test_a_tag_never_moves(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    first = zoo().push(good, REPO, tag="v1").commit
    with pytest.raises(HubConflictError, match="the tag v1 names the commit"):
        zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, tag="v1")
    assert commits(hub) == 2 and hub.repos[REPO].tags == {"v1": first}


def test_a_branch_is_made(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    head = zoo().push(good, REPO, tag="v1").commit
    done = zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, revision="next")
    assert hub.repos[REPO].branches == {"main": head, "next": done.commit}
    with pytest.raises(HubError, match="v1 is a tag"):
        zoo().push(good, REPO, revision="v1")
