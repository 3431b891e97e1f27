"""What is pushed is checked first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import snt_zoo
from snt_zoo.errors import HubError, IntegrityError, MissingFileError, NotInRegistryError, SntZooError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.networks.supernet import Supernet
from tests.conftest import TINY
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import REPO, commits
from tests.registry.hub.state import Hub


def test_what_is_refused_before_anything_is_sent(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    with pytest.raises(NotInRegistryError):
        zoo().push("nobody", REPO)
    with pytest.raises(MissingFileError, match=r"holds no config\.json"):
        zoo().push(tmp_path, REPO)
    with pytest.raises(HubError, match="owner/name"):
        zoo().push(good, "../shapes")
    with pytest.raises(HubError, match="no branch, tag or commit"):
        zoo().push(good, REPO, tag="../v1")
    damaged = shutil.copytree(good, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"0" * 10)
    with pytest.raises(IntegrityError):
        zoo().push(damaged, REPO)
    assert hub.repos == {}
    # Somebody's other model is not overwritten, and what could not be pulled is not pushed.
    hub.seed(REPO, {"config.json": b"{}", "model.safetensors": b"1234"})
    with pytest.raises(HubError, match=r"holds config\.json, model\.safetensors that snt-zoo did not write"):
        zoo().push(good, REPO)
    hub.seed("alice/pickled", {"pytorch_model.bin": b"1234"})
    with pytest.raises(snt_zoo.SntZooError, match=r"pytorch_model\.bin"):
        zoo().push(good, "alice/pickled")
    with pytest.raises(HubError, match="there and public, so --private cannot be kept"):
        zoo().push(good, REPO, private=True)
    assert commits(hub) == 1


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a derived model, with a report."""
    net = DerivedModel.inherit(
        Supernet.create(TINY["nas_bench_201"], generator=torch.Generator().manual_seed(0))
    )
    folder = tmp_path / "model"
    names = [str(label) for label in range(10)]
    licences = {"flowers-0a1b2c3d": "Apache-2.0", "flowers": "CC BY-NC 4.0"}
    accuracy = {"val": 0.5}
    files = model_files(
        net, class_names=names, source="flowers-0a1b2c3d", accuracy=accuracy, licences=licences
    )
    write_into(folder, files)
    write_into(folder, {"report.json": {"from": "flowers-0a1b2c3d", "seconds": 1.5, "out": str(tmp_path)}})
    return folder


@pytest.mark.parametrize("name", ["config.json", "genotype.json", "model.safetensors", "report.json"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_what_a_link_leads_to_is_not_sent(
    name: str, kind: str, model: Path, hub: Hub, zoo: Zoos, tmp_path: Path
) -> None:
    path = model / name
    if kind == "link":
        path.rename(tmp_path / "secret")
        path.symlink_to(tmp_path / "secret")
    else:
        path.unlink()
    if kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(SntZooError) as caught:
        zoo().push(model, REPO)
    assert str(caught.value).isprintable() and hub.repos == {}


def test_fields_that_snt_zoo_does_not_write_are_not_sent(model: Path, hub: Hub, zoo: Zoos) -> None:
    for name in ("config.json", "genotype.json", "report.json"):
        data = json.loads((model / name).read_text())
        data["password"] = "canary-top"
        if name == "config.json":
            data["network"]["note"] = data["network"]["normalisation"]["note"] = "canary-inner"
        if name == "report.json":
            data["derived"] = {"out": "/home/canary", "note": "canary-derived"}
        (model / name).write_text(json.dumps(data))
    zoo().push(model, REPO)
    assert not [name for name, content in hub.files(REPO).items() if b"canary" in content]
    (model / "report.json").unlink()
    assert zoo().push(model, "alice/other").kind == "model"


def test_licences_of_what_a_model_was_made_from_are_on_its_card(
    model: Path, hub: Hub, zoo: Zoos, tmp_path: Path
) -> None:
    zoo().push(model, REPO)
    card = hub.files(REPO)["README.md"].decode()
    assert "## Made from" in card and "| flowers | CC BY-NC 4.0 |" in card
    pulled = zoo(machine="there").pull(REPO, out=tmp_path / "mine")
    assert snt_zoo.load_model(pulled.out).licences["flowers"] == "CC BY-NC 4.0"
