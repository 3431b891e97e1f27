"""What is pushed is checked first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import snt_zoo
from snt_zoo.errors import HubError, IntegrityError, MissingFileError, NotInRegistryError
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
