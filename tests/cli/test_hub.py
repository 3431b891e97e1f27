"""`push`, `pull`, `sync`, `query --hub` and `finetune` of what is not here, as a person sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.registry.hub.server import serving
from tests.registry.hub.state import Hub

from .conftest import answer, invoke, reason

STARTER = Path(__file__).parents[2] / "snt_zoo" / "starter" / "nb201-font-arabic"
LETTERS = SAMPLES / "font_arabic.npz"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on loopback, as the environment would name it before the client is imported."""
    made = Hub(users={"hf_someTokenForTests": "alice"})
    with serving(made) as url:
        monkeypatch.setenv("HF_TOKEN", "hf_someTokenForTests")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield made


def test_the_way_to_the_hub_and_back(hub: Hub, tmp_path: Path) -> None:
    home = ("--home", tmp_path / "home")
    shown = invoke("push", STARTER, "alice/letters", *home)
    assert shown.exit_code == 0, shown.stderr
    for text in ("pushed", "alice/letters", hub.url, "model.safetensors (added)"):
        assert text in shown.stdout
    assert "the repository holds it already" in invoke("push", STARTER, "alice/letters", *home).stdout
    assert "would be pushed" in invoke("push", STARTER, "alice/other", "--dry-run", *home).stdout
    hub.seed("bob/bad", {"README.md": b"---\ntags: [snt-zoo]\n---\n", "x.bin": b""})

    assert "run `snt-zoo sync`" in reason(invoke("query", LETTERS, "--hub", *home))
    shown = invoke("sync", *home)
    assert "supernets to rank  1\n" in shown.stdout and "bob/bad: bob/bad holds 'x.bin'" in shown.stdout
    assert answer("sync", *home)["unchanged"] == 2

    (match,) = answer("query", LETTERS, "--hub", *home)["matches"]
    assert match["remote"] is True and match["repo"] == "alice/letters"
    assert "on the Hub      alice/letters" in invoke("query", LETTERS, "--hub", *home, columns=80).stdout
    assert not hub.requests("model.safetensors")

    run = answer(
        "finetune", LETTERS, "--hub", "--epochs", 1, "--no-floor", "--out", tmp_path / "model", *home
    )
    assert run["from"] == match["id"] and len(hub.requests("model.safetensors")) == 2  # HEAD and GET
    assert f"alice/letters@{match['commit']}" in invoke("show", match["id"], *home).stdout
    shown = invoke("pull", f"alice/letters@{match['commit']}", *home)
    assert "in the registry already" in shown.stdout and match["id"] in shown.stdout

    assert answer("push", tmp_path / "model", "alice/mine", *home)["kind"] == "model"
    assert b'base_model: "alice/letters"' in hub.files("alice/mine")["README.md"]
    assert "models/mine" in invoke("pull", "alice/mine", *home).stdout
    assert answer("evaluate", "models/mine", LETTERS)["accuracy"] == run["accuracy"]["test"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("pull", "letters"), "owner/name"),
        (("pull", "alice/nothing"), "hf auth login"),
        (("push", "nobody", "alice/x"), "no supernet"),
        (("push", STARTER, "bob/x"), "may not"),
        (("finetune", LETTERS, "--from", "alice/nothing", "--epochs", 1), "no such repository"),
    ],
)
def test_failures_are_one_line(args: tuple[object, ...], told: str, hub: Hub) -> None:
    assert told in reason(invoke(*args, "--home", "home"))


def test_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for args in (("sync",), ("pull", "alice/x"), ("push", STARTER, "alice/x")):
        result = invoke(*args, "--home", "home")
        assert "cannot reach http://127.0.0.1:9: check the network" in reason(result)
        assert len(result.stderr.splitlines()) == 1
