"""A supernet goes into the registry, a derived model into a folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.errors import (
    ConfigError,
    HubError,
    HubUnavailableError,
    NonFiniteError,
    SntZooError,
    SntZooWarning,
)
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.search.budget import Budget
from tests.conftest import TINY
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import MODEL, REPO, Files, unreachable
from tests.registry.hub.state import Hub
from tests.search.runs import finetune


def test_what_is_here_is_not_fetched_again(hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    hub.seed(REPO, uploaded)
    hub.seed("bob/copy", uploaded)
    assert zoo().pull(REPO).added
    before = hub.sent[MODEL]
    again = zoo().pull(REPO)
    assert not again.added and again.out.is_dir()
    assert not zoo().pull("bob/copy").added
    assert hub.sent[MODEL] == before
    # The last one is where it was found.
    origin = zoo().origin(again.id or "")
    assert origin is not None and origin.repo == "bob/copy"


def test_a_hostile_derived_model_is_refused(hub: Hub, zoo: Zoos, uploaded: Files, tmp_path: Path) -> None:
    files = {"config.json": b'{"format": "x"}', "genotype.json": b"{}", MODEL: uploaded[MODEL]}
    entries = {n: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for n, c in files.items()}
    files["manifest.json"] = json.dumps({"format_version": 1, "files": entries}).encode()
    hub.seed("bob/model", files)
    with pytest.raises(SntZooError, match="is not a model"):
        zoo().pull("bob/model", out=tmp_path / "out")
    files["manifest.json"] = json.dumps(
        {"format_version": 1, "files": entries | {"x.bin": entries[MODEL]}}
    ).encode()
    hub.seed("bob/model", files)
    with pytest.raises(ConfigError, match=r"x\.bin"):
        zoo().pull("bob/model", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_derived_model_whose_weights_overflow_is_not_taken_in(hub: Hub, zoo: Zoos, tmp_path: Path) -> None:
    net = DerivedModel.inherit(Supernet.create(TINY["darts"], generator=torch.Generator().manual_seed(0)))
    names = [str(label) for label in range(10)]
    write_into(tmp_path / "model", model_files(net, class_names=names, source="scratch", accuracy={}))
    zoo().push(tmp_path / "model", "alice/model")
    with torch.no_grad():
        net.head.weight.fill_(3e38)
    write_into(tmp_path / "spoilt", model_files(net, class_names=names, source="scratch", accuracy={}))
    with pytest.raises(NonFiniteError, match="overflow"):
        zoo().push(tmp_path / "spoilt", "alice/model")
    files = hub.files("alice/model")
    files[MODEL] = (tmp_path / "spoilt" / MODEL).read_bytes()
    manifest = json.loads(files["manifest.json"])
    manifest["files"][MODEL] = {
        "sha256": hashlib.sha256(files[MODEL]).hexdigest(),
        "size": len(files[MODEL]),
    }
    hub.seed("bob/model", files | {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(NonFiniteError, match=r"bob/model@.*overflow"):
        zoo().pull("bob/model", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_derived_model_goes_and_comes_back_without_the_zoo(
    hub: Hub, zoo: Zoos, tmp_path: Path, few_digits: ImageDataset
) -> None:
    config = TINY["nas_bench_201"]
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    saved = finetune(few_digits, net, budget=Budget(epochs=1), device="cpu").save(
        tmp_path / "secret" / "model"
    )
    done = zoo().push(saved, "alice/digits")
    assert done.kind == "model" and "report.html" not in done.files
    assert not any(str(tmp_path).encode() in content for content in hub.files("alice/digits").values())

    pulled = zoo(machine="there").pull("alice/digits", out=tmp_path / "mine")
    assert pulled.kind == "model" and pulled.id is None and pulled.commit == done.commit
    assert {path.name for path in pulled.out.iterdir()} == {
        "config.json", "genotype.json", "manifest.json", "model.safetensors", "report.json",
    }  # fmt: skip
    for name in ("config.json", "genotype.json", "model.safetensors"):
        assert (pulled.out / name).read_bytes() == (saved / name).read_bytes()
    before, after = snt_zoo.load_model(saved), snt_zoo.load_model(pulled.out)
    x = few_digits.test.tensor(16)[:4].float() / 255
    assert torch.equal(before.model(x), after.model(x)) and after.class_names == few_digits.class_names
    assert not zoo().push(pulled.out, "alice/digits").changed
    with pytest.raises(snt_zoo.SntZooError, match="in use"):
        zoo(machine="there").pull("alice/digits", out=tmp_path / "mine")
    with pytest.raises(HubError, match="derived model, not a supernet"):
        zoo().finetune("alice/digits", few_digits, epochs=1)


@pytest.mark.parametrize("revision", ["v1", "main", "COMMIT", None])
def test_what_the_registry_holds_needs_no_network(
    hub: Hub, zoo: Zoos, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    """Also where the cache of downloads is gone, or never held it."""
    commit = zoo(machine="theirs").push(good, REPO, tag="v1").commit
    ref = REPO if revision is None else f"{REPO}@{commit if revision == 'COMMIT' else revision}"
    home = zoo()
    first = home.pull(ref)
    away = unreachable(home, tmp_path / "empty")
    if revision == "COMMIT":
        assert away.pull(ref).id == first.id
    elif revision is not None:
        away.hub.endpoint = home.hub.endpoint  # the same Hub, which cannot be reached now
        monkeypatch.setattr(HubClient, "state", _unreachable)
        with pytest.warns(SntZooWarning, match=f"{ref} is in the registry as it was"):
            assert away.pull(ref).id == first.id
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(HubClient, "state", _unreachable)
    offline = snt_zoo.Zoo(home.registry, hub=HubClient(endpoint=hub.url, token=None, cache=tmp_path / "none"))
    again = offline.pull(ref)
    assert (again.id, again.commit, again.added, again.out) == (first.id, commit, False, first.out)
    assert first.id is not None
    home.remove(first.id)
    with pytest.raises(HubUnavailableError):
        offline.pull(ref)


def _unreachable(*_: object, **__: object) -> None:
    raise HubUnavailableError("no network")
