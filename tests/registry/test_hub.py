"""The whole way through the command line, in fresh processes, with the real client.

Against the tests' hub always. Against the real one on demand, which needs a token that may write:

    SNT_ZOO_TEST_HUB=1 HF_TOKEN=hf_... python -m pytest tests/registry/test_hub.py

It makes a private repository of a random name under the token's user, and deletes it in the end.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.registry.hub.repositories import TOKEN
from tests.registry.hub.scenario import Answer, Machines, machines
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle

CLOSED = "http://127.0.0.1:9"  # nobody listens there
LOUD = {"HF_HUB_VERBOSITY": "debug", "HF_DEBUG": "1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def travel(them: Machines, folder: Path, good: Path, repo: str, env: dict[str, str]) -> list[Answer]:
    """Push, push again, pull elsewhere by tag and by commit, pull without a network; every answer."""
    other = make_bundle(folder / "other", seed=3)
    env = env | LOUD
    at = {name: ["--home", str(folder / name), "--json"] for name in ("a", "b", "c", "d")}
    sent = them.run(
        [
            ["push", str(good), repo, "--private", "--dry-run", *at["a"]],
            ["push", str(good), repo, "--private", "--tag", "v1", *at["a"]],
            ["push", str(good), repo, *at["a"]],
            ["push", str(other), repo, "--message", "Second", *at["a"]],
            ["push", str(good), repo, "--tag", "v1", *at["a"]],
        ],
        env | {"HF_HOME": str(folder / "cache-a")},
    )
    would, first, again, second = (answer.document for answer in sent[:4])
    assert would["changed"] and would["dry_run"] and would["commit"] is None
    assert first["changed"] and first["created"] and first["commit"] in first["commit_url"]
    assert not again["changed"] and again["commit"] == first["commit"]
    assert second["changed"] and second["commit"] != first["commit"]
    assert sent[4].code == 1 and "the tag v1 names the commit" in sent[4].stderr

    fresh = env | {"HF_HOME": str(folder / "cache-b")}
    got = them.run(
        [
            ["pull", f"{repo}@v1", *at["b"]],
            ["pull", repo, *at["b"]],
            ["pull", f"{repo}@{first['commit']}", *at["c"]],
            ["show", "shapes", *at["c"]],
        ],
        fresh,
    )
    tagged, latest, pinned, shown = (answer.document for answer in got)
    assert tagged["commit"] == pinned["commit"] == first["commit"] == shown["origin"]["commit"]
    assert latest["commit"] == second["commit"] and latest["id"] != tagged["id"]
    assert contents(Path(tagged["out"])) == contents(Path(pinned["out"])) == contents(good)
    assert contents(Path(latest["out"])) == contents(other)

    # Offline: a commit, and a name that the cache knows; an endpoint that is not there makes sure.
    away = fresh | {"HF_ENDPOINT": CLOSED, "HF_HUB_OFFLINE": "1"}
    without = them.run(
        [
            ["pull", f"{repo}@{first['commit']}", *at["d"]],
            ["pull", repo, *at["d"]],
            ["pull", "alice/nothing", *at["d"]],
            ["sync", *at["d"]],
        ],
        away,
    )
    assert without[0].document["id"] == tagged["id"] and without[1].document["id"] == latest["id"]
    for answer in without[2:]:
        assert answer.code == 1 and answer.stdout == ""
        assert "HF_HUB_OFFLINE is set" in answer.stderr
    return [*sent, *got, *without]


def test_the_way_over_the_tests_hub(hub: Hub, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "way"
    folder.mkdir()
    env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    with machines() as them:
        answers = travel(them, folder, good, "alice/way", env)
        alone = [[*command, "--home", str(folder / "e")] for command in (["pull", "alice/way"], ["sync"])]
        quiet = env | {"HF_HOME": str(folder / "cache-e")}
        nobody = them.run(alone, quiet | {"HF_TOKEN": ""})
        unplugged = them.run(alone, quiet | {"HF_ENDPOINT": CLOSED})
    assert hub.repos["alice/way"].private
    # Without a token, and without a network: one line that says what to do.
    assert nobody[0].code == 1 and "a private one: check the name, or log in" in nobody[0].stderr
    for answer in unplugged:
        assert answer.code == 1 and answer.stdout == ""
        (line,) = answer.stderr.splitlines()
        assert line.startswith("error: ") and f"cannot reach {CLOSED}: check the network" in line
    # The token in no output, in no file.
    answers += [*nobody, *unplugged]
    assert not any(TOKEN in answer.stdout + answer.stderr for answer in answers)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 30 and not any(TOKEN.encode() in path.read_bytes() for path in written)


@pytest.mark.skipif(
    os.environ.get("SNT_ZOO_TEST_HUB") != "1" or not os.environ.get("HF_TOKEN"),
    reason="asks the real Hub: set SNT_ZOO_TEST_HUB=1 and HF_TOKEN to a token that may write",
)
def test_the_way_over_the_real_hub(good: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    token = os.environ["HF_TOKEN"]
    api = HfApi(token=token)
    repo = f"{api.whoami()['name']}/snt-zoo-test-{uuid.uuid4().hex[:12]}"
    try:
        with machines() as them:
            answers = travel(them, tmp_path, good, repo, {"HF_TOKEN": token})
        assert not any(token in answer.stdout + answer.stderr for answer in answers)
    finally:
        api.delete_repo(repo, missing_ok=True)
