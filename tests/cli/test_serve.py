"""`snt-zoo serve`, and the commands that use a service by its URL."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.registry import Registry
from snt_zoo.service.app import create_app
from snt_zoo.zoo import Zoo
from tests.cli.conftest import answer, invoke, reason
from tests.registry.making import copy_home, make_bundle, sketch
from tests.service.making import GUARDED, WRITE, listening


@pytest.fixture
def url(pretrained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service of a copy of the registry with one supernet; the cache of what is fetched is empty."""
    monkeypatch.setenv("SNT_ZOO_TOKEN", WRITE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = copy_home(Path(pretrained[0]), tmp_path / "served")
    with listening(create_app(Zoo(Registry.open(home)), GUARDED)) as url:
        yield url


def at(url: str, *args: object) -> Any:
    return answer("--zoo", url, *args)


def test_a_service_is_listed_and_shown_as_a_folder_is(url: str, tmp_path: Path) -> None:
    def without_place(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "path"}

    here = answer("list", "--home", tmp_path / "served")
    assert [*map(without_place, at(url, "list"))] == [*map(without_place, here)]
    id = here[0]["id"]
    shown = answer("show", id, "--home", tmp_path / "served")
    assert without_place(at(url, "show", id)) == without_place(shown)
    assert at(url, "tag", id, "--add", "seen")["tags"][-1] == "seen"
    name = id.rpartition("-")[0]
    assert at(url, "alias", f"{name}@best", id)["id"] == id
    assert {row["alias"] for row in at(url, "aliases")["aliases"]} == {"best", "latest"}


def test_a_query_by_url_gives_the_answer_of_the_folder(url: str, photos: Path, tmp_path: Path) -> None:
    here = answer("query", photos, "--home", tmp_path / "served")
    there = at(url, "query", photos)
    # What is predicted here knows the probe besides; a service is told the sketch alone.
    known = {"predicted_accuracy", "predicted_interval"}
    alike = [
        [{k: v for k, v in match.items() if k not in known} for match in each["matches"]]
        for each in (there, here)
    ]
    assert alike[0] == alike[1]
    for match in there["matches"]:
        low, high = match["predicted_interval"]
        assert low <= match["predicted_accuracy"] <= high
    assert (there["close"], there["ranked_by"]) == (here["close"], here["ranked_by"])


def test_a_network_is_made_from_a_supernet_of_the_service(url: str, photos: Path, tmp_path: Path) -> None:
    made = at(
        url, "finetune", photos, "--from", "auto", "--epochs", 1, "--no-floor", "--out", tmp_path / "out"
    )
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert made["from"]


def test_a_bundle_goes_to_the_service_and_comes_from_it(url: str, tmp_path: Path) -> None:
    served = Registry.open(tmp_path / "served")
    backbone = served.list()[0].backbone
    bundle = make_bundle(
        tmp_path / "fresh", seed=9, name="fresh", backbone=backbone, sketches=[sketch(backbone=backbone)]
    )
    pushed = at(url, "push", bundle)
    assert pushed["repo"] == url and served.show(pushed["id"]).name == "fresh"
    pulled = at(url, "pull", "fresh")
    assert (pulled["id"], pulled["added"], pulled["repo"]) == (pushed["id"], True, url)
    assert answer("show", "fresh")["digest"] == pulled["commit"], "it is in the registry of this machine"
    assert at(url, "pull", "fresh")["added"] is False
    assert at(url, "pull", "fresh", "--out", tmp_path / "own")["out"] == str(tmp_path / "own")
    assert answer("add", tmp_path / "own", "--home", tmp_path / "other")["id"] == pushed["id"]


@pytest.mark.parametrize(
    "command", [["verify"], ["gc"], ["limit"], ["backup", "zoo.tar"], ["remove", "x", "--yes"], ["serve"]]
)
def test_what_is_done_where_the_registry_lies_is_refused(url: str, command: list[str]) -> None:
    result = invoke("--zoo", url, *command)
    assert result.exit_code in (1, 2)
    assert "leave out --zoo" in result.stderr or "no supernet" in result.stderr


def test_a_url_and_a_folder_are_not_both_given(tmp_path: Path) -> None:
    said = reason(invoke("--zoo", "http://127.0.0.1:9", "list", "--home", tmp_path), 2)
    assert "not both" in said
    assert "REPO" not in reason(invoke("push", tmp_path), 2)


def test_a_service_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snt_zoo.registry.remote.client._BACKOFF", 0.01)
    assert "see that `snt-zoo serve` runs there" in reason(invoke("--zoo", "http://127.0.0.1:9", "list"))


def test_tokens_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    assert answer("serve", "--new-tokens", path) == {"tokens": str(path)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "name a new file" in reason(invoke("serve", "--new-tokens", path))


def test_another_host_is_refused_without_tokens(tmp_path: Path) -> None:
    said = reason(invoke("serve", "--host", "0.0.0.0"))
    assert "snt-zoo serve --new-tokens FILE" in said and "--token-file" in said
    assert "cannot read the tokens" in reason(
        invoke("serve", "--host", "0.0.0.0", "--token-file", tmp_path / "none")
    )


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snt_zoo.service.serving", None)
    assert 'pip install "snt-zoo[serve]"' in reason(invoke("serve"))
